//! A shop that calls a stock, both with a canary: who has the shop's has the stock's, too.

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, StatusCode, Uri},
    routing::get,
};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _};
use tower_canary::{
    Assignment, CanaryLayer, CanaryOptions, Propagate, PropagateLayer, Weight,
    axum::RouterExt as _,
    select::{Condition, Propagated, Select, Sticky},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Only the shop can reach the stock here. For real, check who calls, by a certificate or a network.
    let inside = Propagated::from_callers(Condition::any());
    let stock_listener = TcpListener::bind("127.0.0.1:0").await?;
    let url: Uri = format!("http://{}/", stock_listener.local_addr()?).parse()?;
    let stock = with_canary(&stock(), inside)?;
    tokio::spawn(async move { axum::serve(stock_listener, stock.into_make_service()).await });

    // At the edge nobody is believed. Each user stays on one channel.
    let edge = Propagated::at_edge()
        .or(Sticky::by_header(HeaderName::from_static("x-user-id")).or_cookie("session"));
    let client = PropagateLayer.layer(Client::builder(TokioExecutor::new()).build_http());
    let shop = with_canary(&shop(Stock { client, url }), edge)?;

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    println!("try `curl {addr} -H 'x-user-id: dora'`, and with other users");
    println!("or `curl {addr} -H 'baggage: canary.shop=canary'`, which nobody believes");
    Ok(axum::serve(listener, shop.into_make_service()).await?)
}

/// A router beside itself, at 50 %. Canaries that are released together have one name: the decision
/// travels under it.
fn with_canary(router: &Router, policy: impl Select) -> anyhow::Result<Router> {
    let options = CanaryOptions::new().canary_release("2").select(policy);
    let layer = CanaryLayer::with_options("shop", router.clone(), options);
    layer.handle().set_weight(Weight::from_percent(50))?;
    Ok(router.clone().canary(layer))
}

fn stock() -> Router {
    let tell = async |call: Assignment| format!("stock: {}, {}\n", call.channel(), call.reason());
    Router::new().route("/", get(tell))
}

/// The client of the stock.
#[derive(Clone)]
struct Stock {
    client: Propagate<Client<HttpConnector, Body>>,
    url: Uri,
}

fn shop(stock: Stock) -> Router {
    Router::new().route("/", get(order)).with_state(stock)
}

async fn order(State(stock): State<Stock>, call: Assignment) -> Result<String, StatusCode> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = stock.url;
    // This is all that a handler has to do.
    request.extensions_mut().insert(call.clone());
    let answer = stock.client.oneshot(request).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let answer = answer.collect().await.map_err(|_| StatusCode::BAD_GATEWAY)?.to_bytes();
    let answer = String::from_utf8_lossy(&answer);
    Ok(format!("shop:  {}, {}\n{answer}", call.channel(), call.reason()))
}
