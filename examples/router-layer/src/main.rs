//! A canary as a layer of an axum router, behind authentication and an access log.

use axum::{
    Extension, Router,
    extract::{MatchedPath, Path, Request},
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::Response,
    routing::get,
};
use tokio::net::TcpListener;
use tower_canary::{Assignment, CanaryLayer, CanaryOptions, Tags, Weight};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let v1 = Router::new().route("/users/{user}/cart/{item}", get(v1_item));
    let v2 = Router::new()
        .route("/users/{user}/cart/{item}", get(v2_item))
        .route("/users/{user}/wishes", get(async || "a feature of v2 only\n"));

    let options = CanaryOptions::new().tags(Tags::default().response_extension());
    let layer = CanaryLayer::with_options("cart", v2, options);
    layer.handle().set_weight(Weight::from_percent(50))?;

    // Layers that are added after the canary wrap both channels.
    let app = v1.layer(layer).layer(from_fn(authenticate)).layer(from_fn(log));

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    println!(
        "try `curl -i -H 'authorization: ann' {}/users/7/cart/tea`, twice",
        listener.local_addr()?
    );
    Ok(axum::serve(listener, app.into_make_service()).await?)
}

async fn v1_item(
    Path((user, item)): Path<(u32, String)>,
    Extension(who): Extension<User>,
) -> String {
    format!("v1: {item} is in the cart of {user}, for {}\n", who.0)
}

/// Has the same path parameters as `v1_item`, although stable's router matched the request first.
async fn v2_item(
    Path((user, item)): Path<(u32, String)>,
    Extension(who): Extension<User>,
) -> String {
    format!("v2: {}, user {user} wants to buy {item}\n", who.0)
}

#[derive(Clone)]
struct User(String);

/// Accepts any credentials. For this example only.
async fn authenticate(mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let credentials =
        request.headers().get(header::AUTHORIZATION).ok_or(StatusCode::UNAUTHORIZED)?;
    let user = User(String::from_utf8_lossy(credentials.as_bytes()).into_owned());
    request.extensions_mut().insert(user);
    Ok(next.run(request).await)
}

async fn log(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let channel = response.extensions().get().map(Assignment::channel);
    let path = path.as_ref().map_or("no route in v1", MatchedPath::as_str);
    println!("{path} {} {channel:?}", response.status());
    response
}
