//! The selection of the requests to mirror.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, WebSocketUpgrade, ws::WebSocket},
    http::Method,
    response::IntoResponse,
    routing::any,
};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;
use tower_canary::{
    Weight,
    select::{Condition, RequestHead},
};
use tower_canary_mirror::{MirrorLayer, MirrorOptions, Mirrored};

use crate::app::{App, get};

fn any_path() -> Router {
    Router::new().fallback(async || "same")
}

/// Creates a canary that counts its calls.
fn counting_canary() -> (Router, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let handler = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        "same"
    };
    (Router::new().fallback(handler), calls)
}

fn request(method: Method, path: &str) -> Request {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn only_safe_methods_are_mirrored_by_default() {
    let (canary, calls) = counting_canary();
    let app = App::start(any_path(), canary);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        app.client.ask(request(method, "/")).await;
    }
    assert_eq!(app.settled().await.mirrored, 0);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        app.client.ask(request(method, "/")).await;
    }
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.matched), (3, 3), "{counts:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_condition_selects_the_requests_to_mirror() {
    let (canary, calls) = counting_canary();
    let options = MirrorOptions::new().only(Condition::path("/search"));
    let app = App::start_with(any_path(), canary, options);
    for path in ["/search", "/order"] {
        app.client.ask(request(Method::POST, path)).await;
    }
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.matched), (1, 1), "{counts:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn health_checks_and_mirrored_requests_are_not_mirrored() {
    let app = App::start(any_path(), any_path());
    app.client.get("/healthz").await;
    let copy = Request::get("/").header(Mirrored::HEADER, "1");
    app.client.ask(copy.body(Body::empty()).unwrap()).await;
    assert_eq!(app.settled().await.mirrored, 0);
}

#[tokio::test]
async fn the_share_can_change_at_any_time() {
    let layer = MirrorLayer::new("shop", any_path());
    let app = App::of_layer(any_path(), layer);
    assert_eq!(app.mirror.share(), Weight::ZERO);
    for (share, mirrored) in [(Weight::ZERO, 0), (Weight::FULL, 5), (Weight::ZERO, 5)] {
        app.mirror.set_share(share);
        for _ in 0..5 {
            app.client.get("/").await;
        }
        assert_eq!(app.settled().await.mirrored, mirrored, "{share}");
    }
}

#[tokio::test]
async fn the_observed_share_is_close_to_the_set_share() {
    let options = MirrorOptions::new().queue_limit(1000);
    let app = App::start_with(any_path(), any_path(), options);
    app.mirror.set_share(Weight::from_percent(50));
    for _ in 0..400 {
        app.client.get("/").await;
    }
    let mirrored = app.settled().await.mirrored;
    // Ten standard deviations: the probability of a failure by chance is 10^-23.
    assert!((100..=300).contains(&mirrored), "{mirrored}");
}

#[tokio::test]
async fn a_condition_that_panics_mirrors_nothing_and_stable_responds() {
    let condition = Condition::when(|_: &RequestHead<'_>| {
        std::panic::resume_unwind(Box::new("intentional test panic"))
    });
    let app = App::start_with(any_path(), any_path(), MirrorOptions::new().only(condition));
    assert_eq!(app.client.ask(get("/")).await.body, "same");
    assert_eq!(app.settled().await.mirrored, 0);
}

/// The clones of a request share its upgrade, so a mirrored request could take it.
#[tokio::test]
async fn web_sockets_are_not_mirrored_and_continue() {
    let echo = async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            socket.send(message).await.unwrap();
        }
    };
    let upgrade =
        any(async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo).into_response());
    let (canary, calls) = counting_canary();
    let app = App::start(Router::new().route("/", upgrade), canary);
    let url = format!("ws://{}/", app.server.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    assert_eq!(app.settled().await.mirrored, 0);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}
