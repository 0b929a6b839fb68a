//! Which calls are copied.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, WebSocketUpgrade, ws::WebSocket},
    http::{Method, request::Parts},
    response::IntoResponse,
    routing::any,
};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;
use tower_canary::Weight;
use tower_canary_mirror::{MirrorLayer, MirrorOptions, Mirrored};

use crate::app::{App, get};

fn anything() -> Router {
    Router::new().fallback(async || "same")
}

/// A canary that counts its calls.
fn counting() -> (Router, Arc<AtomicU32>) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let answer = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        "same"
    };
    (Router::new().fallback(answer), calls)
}

fn request(method: Method, path: &str) -> Request {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn only_methods_that_ask_for_no_change_are_copied() {
    let (canary, calls) = counting();
    let app = App::start(anything(), canary);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        app.client.ask(request(method, "/")).await;
    }
    assert_eq!(app.settled().await.copied, 0);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
        app.client.ask(request(method, "/")).await;
    }
    let counts = app.settled().await;
    assert_eq!((counts.copied, counts.matched), (3, 3), "{counts:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn the_user_says_which_others_are() {
    let (canary, calls) = counting();
    let select = |head: &Parts| head.uri.path() == "/search";
    let app = App::start_with(anything(), canary, MirrorOptions::new().select(select));
    for path in ["/search", "/order"] {
        app.client.ask(request(Method::POST, path)).await;
    }
    let counts = app.settled().await;
    assert_eq!((counts.copied, counts.matched), (1, 1), "{counts:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn health_checks_and_copies_of_other_mirrors_are_not_copied() {
    let app = App::start(anything(), anything());
    app.client.get("/healthz").await;
    let copy = Request::get("/").header(Mirrored::HEADER, "1");
    app.client.ask(copy.body(Body::empty()).unwrap()).await;
    assert_eq!(app.settled().await.copied, 0);
}

#[tokio::test]
async fn the_share_changes_while_calls_come_in() {
    let layer = MirrorLayer::new("shop", anything());
    let app = App::of_layer(anything(), layer);
    assert_eq!(app.mirror.share(), Weight::ZERO);
    for (share, copied) in [(Weight::ZERO, 0), (Weight::FULL, 5), (Weight::ZERO, 5)] {
        app.mirror.set_share(share);
        for _ in 0..5 {
            app.client.get("/").await;
        }
        assert_eq!(app.settled().await.copied, copied, "{share}");
    }
}

#[tokio::test]
async fn about_the_share_of_the_calls_is_copied() {
    let options = MirrorOptions::new().queue(1000);
    let app = App::start_with(anything(), anything(), options);
    app.mirror.set_share(Weight::from_percent(50));
    for _ in 0..400 {
        app.client.get("/").await;
    }
    let copied = app.settled().await.copied;
    // Ten standard deviations: it fails by chance once in 10^23 runs.
    assert!((100..=300).contains(&copied), "{copied}");
}

#[tokio::test]
async fn a_predicate_that_panics_harms_nobody() {
    let select =
        |_: &Parts| -> bool { std::panic::resume_unwind(Box::new("as the test wants it")) };
    let app = App::start_with(anything(), anything(), MirrorOptions::new().select(select));
    assert_eq!(app.client.ask(get("/")).await.body, "same");
    assert_eq!(app.settled().await.copied, 0);
}

/// The upgrade in a request's extensions is shared by its clones: a copy could take it away.
#[tokio::test]
async fn web_sockets_are_not_copied_and_go_on() {
    let echo = async |mut socket: WebSocket| {
        while let Some(Ok(message)) = socket.recv().await {
            socket.send(message).await.unwrap();
        }
    };
    let upgrade =
        any(async move |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo).into_response());
    let (canary, calls) = counting();
    let app = App::start(Router::new().route("/", upgrade), canary);
    let url = format!("ws://{}/", app.server.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    assert_eq!(app.settled().await.copied, 0);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}
