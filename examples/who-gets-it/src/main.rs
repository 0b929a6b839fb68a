//! A selection policy for testers, rules, known users and visitors with a cookie.

use axum::{
    Router,
    routing::{get, put},
};
use http::{HeaderName, Method, StatusCode};
use tokio::net::TcpListener;
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, Weight,
    axum::RouterExt as _,
    select::{Condition, Forced, InvalidSecret, IssuedCookie, Secret, Select, Sticky},
};

/// Selects the channel. The first policy that returns a channel decides.
fn policy() -> Result<impl Select, InvalidSecret> {
    // In production, secrets come from the configuration.
    let for_testers = Secret::try_new("not-a-secret-anymore")?;
    let for_cookies = Secret::try_new("nor-is-this-one-which-signs-cookies")?;

    // Testers choose their channel, unless the canary is halted.
    let testers = Forced::by_header(HeaderName::from_static("x-canary-force"), for_testers);
    // The office gets the canary at any weight above zero. A proxy must set or remove this header.
    let office = Condition::header(HeaderName::from_static("x-office"), "yes").always();
    // Orders always go to stable.
    let orders = Condition::path_prefix("/orders").and(Condition::method(Method::POST)).never();
    // Users stay on one channel, on all devices. Visitors without a user id do so while they keep
    // the issued cookie. With HTTPS, add `secure()` to the cookie.
    let users = Sticky::by_header(HeaderName::from_static("x-user-id"))
        .or_issue(IssuedCookie::new("canary_id").signed(&for_cookies));

    Ok(testers.or(office).or(orders).or(users))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = CanaryOptions::new().canary_release("2").select(policy()?);
    let layer = CanaryLayer::with_options("shop", shop(), options);
    let canary = layer.handle(); // The weight is zero.
    let app = shop().canary(layer).merge(control(canary));

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    println!("try `curl {}`, and the commands in the README", listener.local_addr()?);
    Ok(axum::serve(listener, app.into_make_service()).await?)
}

/// Returns the service. Both versions respond with the channel and the reason.
fn shop() -> Router {
    let respond = async |call: Assignment| format!("{}, {}\n", call.channel(), call.reason());
    Router::new().route("/", get(respond)).route("/orders", get(respond).post(respond))
}

/// Routes for the operator. In production they need authentication.
fn control(canary: CanaryHandle) -> Router {
    let set_weight = async move |weight: String| {
        let weight: Weight =
            weight.parse().map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
        canary.set_weight(weight).map_err(|halted| (StatusCode::CONFLICT, format!("{halted}\n")))
    };
    Router::new().route("/canary/weight", put(set_weight))
}
