//! Differences between two responses of stable do not count.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{Extension, Json, Router, routing::get};
use canary_tests::{Client, Server};
use serde_json::json;
use tower_canary::{Assignment, CanaryLayer, Channel, Weight};
use tower_canary_mirror::{MirrorLayer, MirrorOptions, Mirrored};

use crate::app::{App, settled};

/// Responds with a price and a number that differs each time. Counts its calls by kind.
fn version(price: u32, calls: &Arc<Calls>) -> Router {
    let calls = Arc::clone(calls);
    let response = async move |mirrored: Option<Extension<Mirrored>>| {
        let counter = match mirrored.map(|Extension(mirrored)| mirrored.channel()) {
            None => &calls.original,
            Some(Channel::Stable) => &calls.noise,
            Some(Channel::Canary) => &calls.canary,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let request_id = calls.next_id.fetch_add(1, Ordering::Relaxed);
        Json(json!({"request_id": request_id, "price": price}))
    };
    Router::new().route("/", get(response))
}

#[derive(Default)]
struct Calls {
    next_id: AtomicU32,
    original: AtomicU32,
    noise: AtomicU32,
    canary: AtomicU32,
}

impl Calls {
    fn seen(&self) -> [u32; 3] {
        [&self.original, &self.noise, &self.canary].map(|calls| calls.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_field_that_always_differs_in_stable_does_not_count_but_others_do() {
    for (price, matched) in [(100, 10), (99, 0)] {
        let calls = Arc::default();
        let options = MirrorOptions::new().noise_share(Weight::FULL);
        let app = App::start_with(version(100, &calls), version(price, &calls), options);
        for _ in 0..10 {
            app.client.get("/").await;
        }
        let counts = app.settled().await;
        assert_eq!((counts.mirrored, counts.mismatched), (10, 10 - matched), "{counts:?}");
        assert_eq!((counts.matched, counts.matched_with_noise), (matched, matched), "{counts:?}");
        let noise = (counts.noise.sent, counts.noise.compared, counts.noise.differed);
        assert_eq!(noise, (10, 10, 10));
        assert_eq!(calls.seen(), [10, 10, 10]);
        let fields = app.mirror.fields();
        let field = fields.iter().find(|field| field.field == "body/request_id").unwrap();
        assert_eq!((field.differed, field.compared), (10, 10));
        assert_eq!((field.noise_differed, field.noise_compared), (10, 10));
        assert!(field.is_noise());
        assert!(fields.iter().all(|field| field.is_noise() == (field.field == "body/request_id")));
    }
}

#[tokio::test]
async fn known_noise_also_applies_to_requests_that_are_not_sent_again() {
    let calls = Arc::default();
    let options = MirrorOptions::new().noise_share(Weight::FULL);
    let app = App::start_with(version(100, &calls), version(100, &calls), options);
    app.client.get("/").await;
    app.settled().await;
    app.mirror.set_noise_share(Weight::ZERO);
    for _ in 0..10 {
        app.client.get("/").await;
    }
    let counts = app.settled().await;
    assert_eq!((counts.matched_with_noise, counts.mismatched), (11, 0), "{counts:?}");
    assert_eq!(calls.seen(), [11, 1, 11]);
}

#[tokio::test]
async fn no_request_is_sent_to_stable_again_by_default() {
    let calls = Arc::default();
    let app = App::start(version(100, &calls), version(100, &calls));
    for _ in 0..10 {
        app.client.get("/").await;
    }
    let counts = app.settled().await;
    assert_eq!((counts.mismatched, counts.noise.sent), (10, 0), "{counts:?}");
    assert_eq!(calls.seen(), [10, 0, 10]);
}

/// Without one, its status would differ, and so the status would count as noise.
#[tokio::test]
async fn a_request_that_measures_noise_has_an_assignment() {
    let version = || Router::new().route("/", get(async |_: Assignment| "same"));
    let canary = Router::new().route("/", get(async || "same"));
    let options = MirrorOptions::new().share(Weight::FULL).noise_share(Weight::FULL);
    let layer = MirrorLayer::with_options("shop", canary, options);
    let mirror = layer.handle();
    let app = version().layer(layer).layer(CanaryLayer::new("shop", version()));
    Client::http1(&Server::of_router(app)).get("/").await;
    let counts = settled(&mirror).await;
    assert_eq!((counts.matched, counts.noise.differed), (1, 0), "{:?}", mirror.fields());
}

#[tokio::test]
async fn the_first_requests_are_all_sent_again_unless_the_noise_share_is_zero() {
    let calls = Arc::default();
    let options = MirrorOptions::new().noise_share(Weight::from_ppm(1));
    let app = App::start_with(version(100, &calls), version(100, &calls), options);
    for _ in 0..40 {
        app.client.get("/").await;
    }
    let counts = app.settled().await;
    assert_eq!((counts.matched_with_noise, counts.mismatched), (40, 0), "{counts:?}");
    assert_eq!(calls.seen(), [40, 20, 40]);
}
