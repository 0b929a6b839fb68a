//! The judge hears what users and the application say.

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

/// What the judge is told of ratings.
fn ticks(rated: &RatingsByWeight) -> impl Iterator<Item = AdverseCounts> {
    rated.evidence().iter().map(|(weight, at)| {
        let total = PerChannel::from_fn(|channel| at[channel].total);
        let adverse = PerChannel::from_fn(|channel| at[channel].adverse);
        AdverseCounts::try_new(*weight, total, adverse).unwrap()
    })
}

/// Lets a judge of ratings look once per round of calls, and returns its last verdict.
struct Watch {
    judge: Judge,
    seen: Snapshot,
}

impl Watch {
    fn new(monitor: Monitor) -> Self {
        let judge = Judge::try_new(Levels::default(), [monitor]).unwrap();
        Self { judge, seen: Snapshot::default() }
    }

    fn look(&mut self, canary: &CanaryHandle) -> Verdict {
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
            // All answer 200. The canary's orders never complete.
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

    /// One user looks at a page and says what they think of it.
    async fn visit(&self, opinion: impl Fn(Channel) -> Rating) {
        let page = self.client.get("/").await;
        let rating = opinion(page.channel().unwrap());
        let form = json!({ "rating": rating.as_str(), "receipt": page.body }).to_string();
        let request = Request::post("/feedback").header(header::CONTENT_TYPE, "application/json");
        let answer = self.client.ask(request.body(Body::from(form)).unwrap()).await;
        assert_eq!(answer.status, http::StatusCode::NO_CONTENT);
    }
}

/// The verdict after each of `visits`, until it is no longer inconclusive.
async fn verdict(monitor: Monitor, visits: u32, opinion: impl Fn(Channel) -> Rating) -> Verdict {
    let shop = Shop::new();
    let mut watch = Watch::new(monitor);
    for _ in 0..visits {
        shop.visit(&opinion).await;
        match watch.look(&shop.canary) {
            Verdict::Inconclusive => {}
            decided => return decided,
        }
    }
    Verdict::Inconclusive
}

#[tokio::test]
async fn a_canary_whose_users_complain_is_degraded_though_all_its_calls_succeed() {
    let complain = |channel| match channel {
        Channel::Stable => Rating::Good,
        Channel::Canary => Rating::Bad,
    };
    assert_eq!(verdict(Monitor::feedback(), 500, complain).await, Verdict::Degraded);
}

#[tokio::test]
async fn a_canary_whose_users_are_as_content_as_stable_s_is_not_degraded() {
    assert_ne!(verdict(Monitor::feedback(), 300, |_| Rating::Good).await, Verdict::Degraded);
}

#[tokio::test]
async fn a_canary_whose_orders_do_not_complete_is_degraded_though_nobody_complains() {
    let monitor = Monitor::event("order-completed");
    assert_eq!(verdict(monitor, 500, |_| Rating::Good).await, Verdict::Degraded);
}
