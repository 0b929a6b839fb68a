//! The judge uses ratings by users and by the application.

use axum::{Router, body::Body, routing::get};
use canary_analysis::{AdverseCounts, Judge, Levels, Monitor, Observation};
use canary_core::Verdict;
use canary_tests::{Client, Server};
use http::{Request, header};
use serde_json::json;
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, Channel, PerChannel, Rating, Weight,
    axum::feedback,
    counts::{RatingsByWeight, Snapshot},
    feedback::FeedbackOptions,
    select::Secret,
};

/// Converts ratings into the judge's input.
fn ticks(rated: &RatingsByWeight) -> impl Iterator<Item = AdverseCounts> {
    rated.evidence().iter().map(|(weight, at)| {
        let total = PerChannel::from_fn(|channel| at[channel].total);
        let adverse = PerChannel::from_fn(|channel| at[channel].adverse);
        AdverseCounts::try_new(*weight, total, adverse).unwrap()
    })
}

/// Passes new ratings to a judge.
struct RatingJudge {
    judge: Judge,
    seen: Snapshot,
}

impl RatingJudge {
    fn new(monitor: Monitor) -> Self {
        let judge = Judge::try_new(Levels::default(), [monitor]).unwrap();
        Self { judge, seen: Snapshot::default() }
    }

    fn observe(&mut self, canary: &CanaryHandle) -> Verdict {
        let now = canary.counts();
        let new = now.since(&self.seen).unwrap().ratings;
        let mut observation = Observation::between(&self.seen, &now).unwrap();
        observation = observation.with_feedback(ticks(&new.feedback));
        for (event, rated) in new.events() {
            observation = observation.with_event(event.as_str(), ticks(rated));
        }
        self.judge.observe(&observation);
        self.seen = now;
        self.judge.verdict()
    }
}

struct Shop {
    client: Client,
    canary: CanaryHandle,
    _server: Server,
}

impl Shop {
    fn new() -> Self {
        let page = async |assignment: Assignment| {
            // All responses are 200, but orders of the canary never complete.
            let rating = match assignment.channel() {
                Channel::Stable => Rating::Good,
                Channel::Canary => Rating::Bad,
            };
            assignment.rate_event("order-completed", rating).unwrap();
            assignment.receipt().to_string()
        };
        let version = || Router::new().route("/", get(page));
        let secret = Secret::try_new("6f1d0c5a9e784b3f8d2e71c4a5b60938").unwrap();
        let options = FeedbackOptions::new().event("order-completed").signed(&secret);
        let options = CanaryOptions::new().feedback(options);
        let layer = CanaryLayer::with_options("shop", version(), options);
        let canary = layer.handle();
        canary.set_weight(Weight::from_percent(20)).unwrap();
        let app = version().layer(layer).route("/feedback", feedback(canary.clone()));
        let server = Server::of_router(app);
        Self { client: Client::http1(&server), canary, _server: server }
    }

    /// Requests a page and rates it.
    async fn visit(&self, opinion: impl Fn(Channel) -> Rating) {
        let page = self.client.get("/").await;
        let rating = opinion(page.channel().unwrap());
        let form = json!({ "rating": rating.as_str(), "receipt": page.body }).to_string();
        let request = Request::post("/feedback").header(header::CONTENT_TYPE, "application/json");
        let answer = self.client.ask(request.body(Body::from(form)).unwrap()).await;
        assert_eq!(answer.status, http::StatusCode::NO_CONTENT);
    }
}

/// Makes visits until the verdict is conclusive, at most `visits`, and returns the verdict.
async fn verdict(monitor: Monitor, visits: u32, opinion: impl Fn(Channel) -> Rating) -> Verdict {
    let shop = Shop::new();
    let mut judge = RatingJudge::new(monitor);
    for _ in 0..visits {
        shop.visit(&opinion).await;
        match judge.observe(&shop.canary) {
            Verdict::Inconclusive => {}
            decided => return decided,
        }
    }
    Verdict::Inconclusive
}

#[tokio::test]
async fn bad_ratings_by_users_degrade_a_canary_whose_calls_all_succeed() {
    let opinion = |channel| match channel {
        Channel::Stable => Rating::Good,
        Channel::Canary => Rating::Bad,
    };
    assert_eq!(verdict(Monitor::feedback(), 500, opinion).await, Verdict::Degraded);
}

#[tokio::test]
async fn equal_ratings_do_not_degrade_a_canary() {
    assert_ne!(verdict(Monitor::feedback(), 300, |_| Rating::Good).await, Verdict::Degraded);
}

#[tokio::test]
async fn incomplete_orders_degrade_a_canary_without_bad_ratings_by_users() {
    let monitor = Monitor::event("order-completed");
    assert_eq!(verdict(monitor, 500, |_| Rating::Good).await, Verdict::Degraded);
}
