//! Faults that a review found, each with the scenario that showed it.
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_canary::{
    CanaryLayer, CanaryOptions, Classification, Classify, HeadClassification, Protocol, Tags,
    Weight,
};

/// A body of one byte that does not foretell its end, or panics when it is asked to.
#[derive(Clone, Copy)]
struct OneByte {
    left: u32,
    /// Panics when it is asked for its end with so many bytes left.
    panics_at: Option<u32>,
}

impl Body for OneByte {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.left.checked_sub(1).map(|left| {
            self.left = left;
            Ok(Frame::data(Bytes::from_static(b"x")))
        }))
    }

    fn is_end_stream(&self) -> bool {
        assert_ne!(self.panics_at, Some(self.left), "as the test wants it to");
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.into())
    }
}

#[derive(Clone, Copy)]
enum Behavior {
    Healthy,
    NeverReady,
    FailsReadiness,
    PanicsInPollReady,
    /// When so many bytes are left.
    PanicsInIsEndStream(u32),
}
use Behavior::{FailsReadiness, Healthy, NeverReady, PanicsInIsEndStream, PanicsInPollReady};

impl Service<Request<()>> for Behavior {
    type Response = Response<OneByte>;
    type Error = BoxError;
    type Future = Ready<Result<Response<OneByte>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Healthy | PanicsInIsEndStream(_) => Poll::Ready(Ok(())),
            NeverReady => Poll::Pending,
            FailsReadiness => Poll::Ready(Err("dead".into())),
            PanicsInPollReady => panic!("poll_ready panics, as the test wants it to"),
        }
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let panics_at = match self {
            PanicsInIsEndStream(left) => Some(*left),
            _ => None,
        };
        ready(Ok(Response::new(OneByte { left: 1, panics_at })))
    }
}

const NEARLY_ALL: Weight = Weight::from_ppm(999_999);

#[test]
fn a_call_that_spills_while_the_weight_changes_is_not_lost() {
    let options = CanaryOptions::new().tags(Tags::none());
    let layer = CanaryLayer::with_options("spill-race", NeverReady, options);
    let handle = layer.handle();
    handle.set_weight(NEARLY_ALL).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut service = layer.layer(Healthy);
            let mut cx = Context::from_waker(Waker::noop());
            while !stop.load(Ordering::Relaxed) {
                let _ = pin!(service.call(Request::new(()))).poll(&mut cx);
            }
        });
        for change in 0..20_000 {
            handle.set_weight(Weight::from_ppm(999_000 + change % 900)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let counts = handle.counts().total();
    assert_eq!(counts.evidence.canary.spilled, counts.excluded.stable.picked);
    assert_eq!(counts.excluded.stable.in_flight(), 0);
}

#[tokio::test]
async fn a_promoted_canary_that_fails_readiness_fails_its_calls() {
    let layer = CanaryLayer::new("promoted", FailsReadiness);
    layer.handle().promote().unwrap();
    let error = layer.layer(Healthy).oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(error.to_string(), "dead");
    assert_eq!(layer.handle().counts().total().evidence.canary.failure, 1);
}

#[tokio::test]
async fn a_promoted_canary_that_panics_in_poll_ready_is_answered_500() {
    let layer = CanaryLayer::new("promoted", PanicsInPollReady);
    layer.handle().promote().unwrap();
    let response = layer.layer(Healthy).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(layer.handle().counts().total().evidence.canary.panicked, 1);
}

#[test]
fn a_health_check_does_not_wait_for_a_promoted_canary() {
    let layer = CanaryLayer::new("promoted", NeverReady);
    layer.handle().promote().unwrap();
    let check = Request::get("/healthz").body(()).unwrap();
    assert_ready_ok!(task::spawn(layer.layer(Healthy).oneshot(check)).poll());
}

#[test]
fn a_call_between_poll_ready_and_promotion_is_freed_by_a_rollback() {
    let layer = CanaryLayer::new("promoted", NeverReady);
    let mut service = layer.layer(Healthy);
    assert_ready_ok!(task::spawn(()).enter(|cx, _| service.poll_ready(cx)));
    layer.handle().promote().unwrap();
    let mut call = task::spawn(service.call(Request::new(())));
    assert_pending!(call.poll());
    layer.handle().roll_back();
    assert!(call.is_woken());
    assert_ready_ok!(call.poll());
}

#[test]
fn a_body_of_known_size_without_a_header_is_complete_when_all_its_bytes_came() {
    let layer = CanaryLayer::new("exact", Healthy);
    let mut service = layer.layer(Healthy);
    let response = assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll());
    let mut body = task::spawn(response.into_body());
    assert!(body.enter(|cx, body| body.poll_frame(cx)).is_ready());
    drop(body);
    assert_eq!(layer.handle().counts().total().evidence.stable.success, 1);
}

#[tokio::test]
async fn a_canary_that_panics_when_its_body_is_asked_for_its_end_is_answered_500() {
    let layer = CanaryLayer::new("end", PanicsInIsEndStream(1));
    layer.handle().promote().unwrap();
    let response = layer.layer(Healthy).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(layer.handle().counts().total().evidence.canary.panicked, 1);
}

#[tokio::test]
async fn a_canary_that_panics_when_its_frame_came_breaks_its_body_off() {
    let layer = CanaryLayer::new("frame", PanicsInIsEndStream(0));
    layer.handle().promote().unwrap();
    let response = layer.layer(Healthy).oneshot(Request::new(())).await.unwrap();
    let mut body = task::spawn(response.into_body());
    let Poll::Ready(Some(Err(_))) = body.enter(|cx, body| body.poll_frame(cx)) else {
        panic!("half a body must not pass for a whole one");
    };
    assert!(body.is_end_stream(), "what panicked is not asked again");
    assert_eq!(layer.handle().counts().total().evidence.canary.panicked, 1);
}

/// Panics in `call`, and tells if it is used after that.
#[derive(Clone)]
struct Broken {
    is_broken: bool,
    used_again: Arc<AtomicU32>,
}

impl Service<Request<()>> for Broken {
    type Response = Response<OneByte>;
    type Error = BoxError;
    type Future = Ready<Result<Response<OneByte>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.used_again.fetch_add(self.is_broken.into(), Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.is_broken = true;
        panic!("in call, as the test wants it to")
    }
}

#[test]
fn a_service_that_panicked_is_not_used_again() {
    let used_again = Arc::new(AtomicU32::new(0));
    let broken = Broken { is_broken: false, used_again: Arc::clone(&used_again) };
    let layer = CanaryLayer::new("broken", broken);
    layer.handle().promote().unwrap();
    let mut service = layer.layer(Healthy);
    for _ in 0..2 {
        assert_ready_ok!(task::spawn(()).enter(|cx, _| service.poll_ready(cx)));
        assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll());
    }
    assert_eq!(used_again.load(Ordering::Relaxed), 0);
}

/// Panics in `poll_ready`, and once more when it is dropped after that.
#[derive(Clone)]
struct Bomb {
    is_armed: bool,
}

impl Service<Request<()>> for Bomb {
    type Response = Response<OneByte>;
    type Error = BoxError;
    type Future = Ready<Result<Response<OneByte>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.is_armed = true;
        panic!("in poll_ready, as the test wants it to")
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        unreachable!("it is never ready")
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.is_armed, "in drop, as the test wants it to");
    }
}

#[test]
fn a_canary_that_panics_once_more_when_it_is_dropped_is_spilled_all_the_same() {
    let layer = CanaryLayer::new("bomb", Bomb { is_armed: false });
    layer.handle().set_weight(NEARLY_ALL).unwrap();
    let mut service = layer.layer(Healthy);
    let response = assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll());
    assert_eq!(response.headers()["x-canary-channel"], "stable");
}

#[test]
fn a_classifying_closure_leaves_the_trailers_of_grpc_to_the_default() {
    let closure = |head: &Response<()>| match head.status().as_u16() {
        429 => Classification::Failure,
        _ => Classification::Success,
    };
    assert_eq!(closure.head(Protocol::Grpc, &Response::new(())), HeadClassification::AtEnd);
    assert_eq!(closure.trailers(Protocol::Grpc, None), Classification::Failure);
    assert_eq!(
        closure.head(Protocol::Http, &Response::new(())),
        HeadClassification::Final(Classification::Success)
    );
}

#[cfg(feature = "metrics")]
#[test]
fn calls_in_flight_of_a_canary_that_is_gone_do_not_stay_in_the_gauge() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let scrape = metrics::with_local_recorder(&recorder, || {
        let layer = CanaryLayer::new("replaced", Healthy);
        let call = layer.layer(Healthy).call(Request::new(()));
        layer.handle().publish_metrics();
        drop((call, layer));
        CanaryLayer::new("replaced", Healthy).handle().publish_metrics();
        recorder.handle().render()
    });
    let gauge = r#"canary_requests_in_flight{canary="replaced",channel="stable"} 0"#;
    assert!(scrape.contains(gauge), "{scrape}");
}

#[cfg(feature = "axum")]
mod in_axum {
    use axum::{Router, body::Body, extract::Request, response::Response, routing::get};
    use tower::ServiceExt;
    use tower_canary::{Bypass, CanaryLayer, CanaryOptions, select::Condition};

    async fn ask(app: Router, path: &str) -> Response {
        app.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    fn version() -> Router {
        let route = || get(|| async {});
        Router::new().route("/ping", route()).route("/metrics", route()).route("/i/{id}", route())
    }

    #[tokio::test]
    async fn under_a_nest_the_whole_path_is_bypassed_or_not() {
        let options =
            CanaryOptions::new().bypass(Bypass::default().or(Condition::path("/api/ping")));
        let layer = CanaryLayer::with_options("nested", version(), options);
        layer.handle().promote().unwrap();
        let app = Router::new().nest("/api", version().layer(layer));
        let bypassed = ask(app.clone(), "/api/ping").await;
        assert!(!bypassed.headers().contains_key("x-canary-channel"));
        let split = ask(app, "/api/metrics").await;
        assert_eq!(split.headers()["x-canary-channel"], "canary");
    }

    #[tokio::test]
    async fn a_prefix_that_axum_takes_for_an_old_one_is_none_of_our_business() {
        let layer = CanaryLayer::new("nested", version());
        layer.handle().promote().unwrap();
        let app = Router::new().without_v07_checks().nest("/:v1", version().layer(layer));
        let response = ask(app, "/:v1/i/7").await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-canary-channel"]),
            (200, &"canary".parse().unwrap())
        );
    }
}
