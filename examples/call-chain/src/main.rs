//! Two services with canaries, where the second uses the channel that the first one chose.

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
    // Only the shop can reach this port. In production, authenticate callers, for example with TLS.
    let inside = Propagated::from_callers(Condition::any());
    let stock_listener = TcpListener::bind("127.0.0.1:0").await?;
    let url: Uri = format!("http://{}/", stock_listener.local_addr()?).parse()?;
    let stock = with_canary(&stock(), inside)?;
    tokio::spawn(async move { axum::serve(stock_listener, stock.into_make_service()).await });

    // At the edge, no caller is trusted to propagate a decision. Each user stays on one channel.
    let edge = Sticky::by_header(HeaderName::from_static("x-user-id")).or_cookie("session");
    let client = PropagateLayer.layer(Client::builder(TokioExecutor::new()).build_http());
    let shop = with_canary(&shop(Stock { client, url }), edge)?;

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    println!("try `curl {addr} -H 'x-user-id: dora'`, and with other users");
    println!("or `curl {addr} -H 'baggage: canary.shop=canary'`, which is ignored");
    Ok(axum::serve(listener, shop.into_make_service()).await?)
}

/// Adds a canary at 50 %. Both services use the same canary name, because decisions are propagated
/// under that name.
fn with_canary(router: &Router, policy: impl Select) -> anyhow::Result<Router> {
    let options = CanaryOptions::new().canary_release("2").select(policy);
    let layer = CanaryLayer::with_options("shop", router.clone(), options);
    layer.handle().set_weight(Weight::from_percent(50))?;
    Ok(router.clone().canary(layer))
}

fn stock() -> Router {
    let respond =
        async |call: Assignment| format!("stock: {}, {}\n", call.channel(), call.reason());
    Router::new().route("/", get(respond))
}

/// A client of the stock service.
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
    // The client propagates the assignment in this extension.
    request.extensions_mut().insert(call.clone());
    let response = stock.client.oneshot(request).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let body = response.collect().await.map_err(|_| StatusCode::BAD_GATEWAY)?.to_bytes();
    let body = String::from_utf8_lossy(&body);
    Ok(format!("shop:  {}, {}\n{body}", call.channel(), call.reason()))
}
