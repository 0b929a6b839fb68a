//! A reverse proxy that splits calls between two upstream addresses.

use std::{convert::Infallible, env, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode, Uri, Version, header, uri},
    response::{IntoResponse as _, Response},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tower::{Layer as _, Service, service_fn};
use tower_canary::{CanaryLayer, Weight};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (addr, weight, [stable, canary]) = match &args[..] {
        [] => (
            "127.0.0.1:3000",
            Weight::from_percent(20),
            [demo_upstream("v1\n").await?, demo_upstream("v2\n").await?],
        ),
        [addr, weight, stable, canary] => {
            (&**addr, weight.parse()?, [stable.parse()?, canary.parse()?])
        }
        _ => anyhow::bail!("usage: reverse-proxy [ADDR WEIGHT STABLE CANARY]"),
    };
    println!("stable: {stable}, canary: {canary}");

    let layer = CanaryLayer::new("upstream", proxy_to(canary));
    layer.handle().set_weight(weight)?;
    let app = Router::new().fallback_service(layer.layer(proxy_to(stable)));

    let listener = TcpListener::bind(addr).await?;
    println!("try `curl -i {}`, several times", listener.local_addr()?);
    Ok(axum::serve(listener, app.into_make_service()).await?)
}

fn proxy_to(
    upstream: uri::Authority,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync
{
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let h1 = Client::builder(TokioExecutor::new()).build(connector.clone());
    let h2 = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
    service_fn(move |request: Request| {
        let client = if request.version() == Version::HTTP_2 { &h2 } else { &h1 };
        forward(client.clone(), upstream.clone(), request)
    })
}

async fn forward(
    client: Client<HttpConnector, Body>,
    upstream: uri::Authority,
    mut request: Request,
) -> Result<Response, Infallible> {
    let mut target = request.uri().clone().into_parts();
    target.scheme = Some(uri::Scheme::HTTP);
    target.authority = Some(upstream.clone());
    let Ok(target) = Uri::from_parts(target) else {
        return Ok(StatusCode::BAD_REQUEST.into_response()); // `CONNECT` has no path.
    };
    *request.uri_mut() = target;
    remove_hop_by_hop(request.headers_mut());
    Ok(match client.request(request).await {
        Ok(mut response) => {
            remove_hop_by_hop(response.headers_mut());
            response.map(Body::new)
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{upstream}: {error}\n")).into_response(),
    })
}

/// Removes the hop-by-hop headers.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let connection: Vec<_> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    let named = connection.iter().flat_map(|value| value.to_str().unwrap_or("").split(','));
    for name in named.map(str::trim).chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Starts an upstream that answers all requests with the text.
async fn demo_upstream(text: &'static str) -> anyhow::Result<uri::Authority> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let app = Router::new().fallback(async move || text);
    tokio::spawn(async move { axum::serve(listener, app.into_make_service()).await });
    Ok(addr.to_string().parse()?)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// RFC 9110, section 7.6.1. Without `te`: over HTTP/1 it is listed in `connection`, and over HTTP/2
/// gRPC needs it.
const HOP_BY_HOP: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
