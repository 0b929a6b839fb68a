//! Testers, rules, users that keep their channel, and strangers that get a cookie to keep it by.

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

/// Who gets the canary. The first policy that has something to say decides.
fn policy() -> Result<impl Select, InvalidSecret> {
    // For real, secrets come from the configuration and not out of the source.
    let for_testers = Secret::try_new("not-a-secret-anymore")?;
    let for_cookies = Secret::try_new("nor-is-this-one-which-signs-cookies")?;

    // Testers choose. Only a halt keeps them from the canary.
    let testers = Forced::by_header(HeaderName::from_static("x-canary-force"), for_testers);
    // The office has the canary as soon as anybody has. A proxy in front must set this header, or take
    // it away.
    let office = Condition::header(HeaderName::from_static("x-office"), "yes").always();
    // Orders are stable's for now.
    let orders = Condition::path_prefix("/orders").and(Condition::method(Method::POST)).never();
    // Users stay on one channel, on all their devices. Strangers do so, too, as long as they keep the
    // cookie that they get. Serve it with `secure()` where there is HTTPS.
    let people = Sticky::by_header(HeaderName::from_static("x-user-id"))
        .or_issue(IssuedCookie::new("canary_id").signed(&for_cookies));

    Ok(testers.or(office).or(orders).or(people))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = CanaryOptions::new().canary_release("2").select(policy()?);
    let layer = CanaryLayer::with_options("shop", shop(), options);
    let canary = layer.handle(); // At weight zero.
    let app = shop().canary(layer).merge(control(canary));

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    println!("try `curl {}`, and what the README has", listener.local_addr()?);
    Ok(axum::serve(listener, app.into_make_service()).await?)
}

/// Either version: it says which it is, and why it was chosen.
fn shop() -> Router {
    let tell = async |call: Assignment| format!("{}, {}\n", call.channel(), call.reason());
    Router::new().route("/", get(tell)).route("/orders", get(tell).post(tell))
}

/// For real, not without authentication.
fn control(canary: CanaryHandle) -> Router {
    let set_weight = async move |weight: String| {
        let weight: Weight =
            weight.parse().map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
        canary.set_weight(weight).map_err(|halted| (StatusCode::CONFLICT, format!("{halted}\n")))
    };
    Router::new().route("/canary/weight", put(set_weight))
}
