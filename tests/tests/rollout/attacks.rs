//! Callers without credentials, who choose what they send, when they leave, and, with a key that is
//! on the canary, the channel of their calls. They neither condemn a canary that is as good as
//! stable nor hide one that fails 5 % of its calls.

use std::{
    convert::Infallible,
    hint,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::StatusCode,
    response::Response,
    routing::get,
};
use canary_analysis::{Judge, Levels, Monitor, Observation, SlowLimit, Until};
use canary_core::{ChannelCounts, Verdict};
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tower::{Service, ServiceExt};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, Weight,
    control::ControlExt,
    counts::Snapshot,
    select::{Sticky, StickyHash},
};

const WEIGHT: Weight = Weight::from_percent(10);
/// Calls between two looks of the judge.
const LOOK: u64 = 50;
/// Honest calls to a canary that is as good as stable, enough for thirty of the calls of which one
/// would fail on a canary that fails 5 %.
const HONEST: u64 = 6_000;

/// A service with a streamed response. Every twentieth of its honest calls fails, if it is `bad`.
fn shop(is_bad: bool) -> Router {
    let calls = Arc::new(AtomicU64::new(0));
    let item = async move |request: Request| {
        let is_honest = request.headers().contains_key("x-honest");
        let read = to_bytes(request.into_body(), usize::MAX).await;
        if read.is_ok() && is_honest && is_bad && calls.fetch_add(1, Ordering::Relaxed) % 20 == 10 {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        }
        let frames = ["an ", "item"].map(|part| Ok::<_, Infallible>(Frame::data(part.into())));
        Response::new(Body::new(StreamBody::new(stream::iter(frames))))
    };
    Router::new().route("/items/1", get(item.clone()).post(item))
}

struct Attacked {
    app: Router,
    canary: CanaryHandle,
    judge: Judge,
    seen: Snapshot,
    calls: u64,
}

impl Attacked {
    fn new(is_bad: bool, options: CanaryOptions) -> Self {
        let options = options.select(Sticky::by_header(USER)).sticky_hash(StickyHash::published());
        let layer = CanaryLayer::with_options("shop", shop(is_bad), options);
        let canary = layer.handle();
        canary.set_weight(WEIGHT).unwrap();
        let slow = SlowLimit::stable_quantile(0.99).unwrap();
        // Without `share`: calls with chosen keys break it, if it does not count by key.
        let monitors = [
            Monitor::failures(),
            Monitor::cancelled(),
            Monitor::unanswered(),
            Monitor::slow(Until::Head, slow).with_warm_up(Duration::ZERO),
        ];
        let judge = Judge::try_new(Levels::default(), monitors).unwrap();
        let app = shop(false).layer(layer);
        Self { app, canary, judge, seen: Snapshot::default(), calls: 0 }
    }

    /// Returns a key on the canary.
    fn chosen_key(&self) -> String {
        let mut keys = (0..).map(|number| format!("evil-{number}"));
        keys.find(|key| WEIGHT.admits(self.canary.sticky_key(key).bucket())).unwrap()
    }

    /// Makes a call and reads the response to its end.
    async fn read(&mut self, request: Request) {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let _ = to_bytes(response.into_body(), usize::MAX).await;
    }

    /// Makes an honest call, and lets the judge look from time to time. Returns its verdict.
    async fn honest(&mut self) -> Verdict {
        self.read(request(&[("x-honest", "1")])).await;
        self.calls += 1;
        if self.calls.is_multiple_of(LOOK) {
            let now = self.canary.counts();
            let observation = Observation::between(&self.seen, &now).unwrap();
            self.judge.observe(&observation.with_duration(Duration::from_secs(1)));
            self.seen = now;
        }
        self.judge.verdict()
    }

    fn canary_counts(&self) -> ChannelCounts {
        self.canary.counts().total().evidence.canary
    }
}

const USER: http::HeaderName = http::HeaderName::from_static("x-user-id");

fn request(headers: &[(&str, &str)]) -> Request {
    let mut request = http::Request::get("/items/1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

/// An attack: one step of the attacker per honest call.
trait Attack {
    fn options(&self) -> CanaryOptions {
        CanaryOptions::new()
    }

    async fn step(&mut self, shop: &mut Attacked);
}

struct NoAttack;

impl Attack for NoAttack {
    async fn step(&mut self, _: &mut Attacked) {}
}

/// Returns the honest calls until the canary is degraded, or `None` if it is not within `most`.
async fn calls_until_degraded<A: Attack>(is_bad: bool, attack: &mut A, most: u64) -> Option<u64> {
    let mut shop = Attacked::new(is_bad, attack.options());
    for call in 1..=most {
        attack.step(&mut shop).await;
        if shop.honest().await == Verdict::Degraded {
            return Some(call);
        }
    }
    None
}

/// Asserts what an attack must not achieve.
async fn assert_harmless<A: Attack>(mut new: impl FnMut() -> A) {
    let name = std::any::type_name::<A>();
    let condemned = calls_until_degraded(false, &mut new(), HONEST).await;
    assert_eq!(condemned, None, "{name}: a canary like stable was condemned");
    // The sums of several rollouts, because the assignment of honest calls is random.
    let (mut without, mut with) = (0, 0);
    for _ in 0..5 {
        without += calls_until_degraded(true, &mut NoAttack, u64::MAX).await.unwrap();
        with += calls_until_degraded(true, &mut new(), 30_000).await.unwrap_or(30_000);
    }
    assert!(with <= 3 * without, "{name}: caught after {with} calls instead of {without}");
}

/// Claims that its calls are gRPC, in several ways, also with a chosen key.
struct ClaimsGrpc {
    step: usize,
    has_key: bool,
}

impl Attack for ClaimsGrpc {
    async fn step(&mut self, shop: &mut Attacked) {
        self.step += 1;
        let types = [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC",
            "application/grpc;a=b",
        ];
        let content_type = types[self.step % types.len()];
        let key = shop.chosen_key();
        let mut headers = vec![("content-type", content_type), ("te", "trailers")];
        if self.has_key {
            headers.push(("x-user-id", &key));
        }
        let mut request = request(&headers);
        match self.step % 3 {
            0 => *request.uri_mut() = "/no/such".parse().unwrap(),
            1 => *request.method_mut() = http::Method::PUT,
            _ => {}
        }
        let response = shop.app.clone().oneshot(request).await.unwrap();
        // Reads on the canary only, where the end would be a failure.
        if response.headers()["x-canary-channel"] == "canary" {
            let _ = to_bytes(response.into_body(), usize::MAX).await;
        }
    }
}

#[tokio::test]
async fn a_caller_cannot_fail_calls_by_claiming_grpc() {
    for has_key in [false, true] {
        assert_harmless(|| ClaimsGrpc { step: 0, has_key }).await;
    }
}

/// Sets a deadline and leaves before the response, with a chosen key.
struct LeavesAtItsDeadline {
    timeout: &'static str,
    /// The time in which the attacker withholds its request.
    waits: Duration,
    every: u64,
}

impl Attack for LeavesAtItsDeadline {
    async fn step(&mut self, shop: &mut Attacked) {
        if !shop.calls.is_multiple_of(self.every) {
            return;
        }
        let key = shop.chosen_key();
        let headers = [
            ("content-type", "application/grpc"),
            ("grpc-timeout", self.timeout),
            ("x-user-id", &*key),
        ];
        let mut request = request(&headers);
        *request.method_mut() = http::Method::POST;
        let frames = stream::pending::<Result<Frame<Bytes>, Infallible>>();
        *request.body_mut() = Body::new(StreamBody::new(frames));
        let call = shop.app.as_service::<Body>().call(request);
        let started = Instant::now();
        let _ = tokio::time::timeout(Duration::from_nanos(1), call).await;
        while started.elapsed() < self.waits {
            hint::spin_loop();
        }
    }
}

#[tokio::test]
async fn a_caller_cannot_fail_calls_by_a_deadline_of_its_own() {
    for (timeout, waits, every) in [("1n", 0, 3), ("9m", 9, 100), ("10m", 10, 100)] {
        let waits = Duration::from_millis(waits);
        // The cancelled calls of this key are before the response. `failures` must not see them.
        let mut shop = Attacked::new(false, CanaryOptions::new());
        let mut attack = LeavesAtItsDeadline { timeout, waits, every };
        for _ in 0..1_000 {
            attack.step(&mut shop).await;
            shop.honest().await;
        }
        let canary = shop.canary_counts();
        assert_eq!(canary.failure, 0, "{timeout}");
        assert!(canary.cancelled >= 1_000 / every, "{timeout}");
    }
}

/// Leaves when the head of the response says that it is on the canary, and reads on stable; or the
/// other way round.
struct LeavesByTheTag {
    left_channel: &'static str,
}

impl Attack for LeavesByTheTag {
    async fn step(&mut self, shop: &mut Attacked) {
        let response = shop.app.clone().oneshot(request(&[])).await.unwrap();
        if response.headers()["x-canary-channel"] != self.left_channel {
            let _ = to_bytes(response.into_body(), usize::MAX).await;
        }
    }
}

#[tokio::test]
async fn a_caller_gains_nothing_by_leaving_after_it_saw_its_channel() {
    for left_channel in ["canary", "stable"] {
        assert_harmless(|| LeavesByTheTag { left_channel }).await;
    }
}

/// Asks for paths that do not exist, with a chosen key or without.
struct AsksForNothing {
    has_key: bool,
}

impl Attack for AsksForNothing {
    async fn step(&mut self, shop: &mut Attacked) {
        let key = shop.chosen_key();
        for number in 0..2 {
            let headers: &[_] = if self.has_key { &[("x-user-id", &*key)] } else { &[] };
            let mut request = request(headers);
            *request.uri_mut() = format!("/no/such/{number}").parse().unwrap();
            shop.read(request).await;
        }
    }
}

#[tokio::test]
async fn a_caller_changes_nothing_by_asking_for_what_does_not_exist() {
    for has_key in [false, true] {
        assert_harmless(|| AsksForNothing { has_key }).await;
    }
}

/// Holds as many permits as it gets, by requests that never end, all with one key.
#[derive(Default)]
struct HoldsPermits {
    per_key: bool,
    held: Vec<tokio::task::JoinHandle<()>>,
}

impl Attack for HoldsPermits {
    fn options(&self) -> CanaryOptions {
        let options = CanaryOptions::new().concurrency_limit(16);
        if self.per_key { options.concurrency_limit_per_key(2) } else { options }
    }

    async fn step(&mut self, shop: &mut Attacked) {
        if self.held.len() < 16 {
            let mut request = request(&[("x-user-id", &*shop.chosen_key())]);
            *request.method_mut() = http::Method::POST;
            let frames = stream::pending::<Result<Frame<Bytes>, Infallible>>();
            *request.body_mut() = Body::new(StreamBody::new(frames));
            let app = shop.app.clone();
            self.held.push(tokio::spawn(async move {
                let _ = app.oneshot(request).await;
            }));
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for HoldsPermits {
    fn drop(&mut self) {
        self.held.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test]
async fn callers_that_hold_all_permits_do_not_condemn_the_canary() {
    let condemned = calls_until_degraded(false, &mut HoldsPermits::default(), HONEST).await;
    assert_eq!(condemned, None);
    // With a limit per key, the others still reach the canary.
    assert_harmless(|| HoldsPermits { per_key: true, held: Vec::new() }).await;
}

/// Sends its requests slowly, with a chosen key.
struct SendsSlowly;

impl Attack for SendsSlowly {
    async fn step(&mut self, shop: &mut Attacked) {
        if !shop.calls.is_multiple_of(150) {
            return;
        }
        let mut request = request(&[("x-user-id", &*shop.chosen_key())]);
        *request.method_mut() = http::Method::POST;
        let parts = stream::unfold(0, async |part| {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let frame = Frame::data(Bytes::from_static(b"part"));
            (part < 2).then_some((Ok::<_, Infallible>(frame), part + 1))
        });
        *request.body_mut() = Body::new(StreamBody::new(Box::pin(parts)));
        shop.read(request).await;
    }
}

#[tokio::test]
async fn a_caller_cannot_make_the_canary_slow_by_sending_slowly() {
    assert_harmless(|| SendsSlowly).await;
}
