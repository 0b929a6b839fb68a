//! Stable repeats calls that the canary failed.

mod request_body;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio_test::{assert_pending, task};
use tower::{
    BoxError, Layer, ServiceExt, limit::ConcurrencyLimit, service_fn, util::BoxCloneSyncService,
};
use tower_canary::{
    Assignment, AssignmentReason, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Fallback,
    control::ControlExt as _, select::Condition,
};

use crate::support::{ALMOST_ALL, channel_of, counts, one_key};

type Body = UnsyncBoxBody<Bytes, BoxError>;
type BodyService = BoxCloneSyncService<Request<Body>, Response<Full<Bytes>>, BoxError>;

/// How the canary ends a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Failure {
    Status(StatusCode),
    GrpcStatus(&'static str),
    Error,
    Panic,
    PanicInCall,
    Hang,
}

/// A canary that changes the head of its request, reads some frames of the body, and then fails.
fn canary(reads: usize, failure: Failure) -> BodyService {
    let respond = move |mut request: Request<Body>| -> BoxFuture<'static, _> {
        assert_ne!(failure, Failure::PanicInCall, "intentional test panic");
        // Stable must not see these changes.
        request.headers_mut().insert("x-changed", "by the canary".parse().unwrap());
        *request.uri_mut() = "/elsewhere".parse().unwrap();
        Box::pin(async move {
            for _ in 0..reads {
                let _ = request.body_mut().frame().await;
            }
            let mut response = Response::new(Full::from("canary"));
            match failure {
                Failure::Status(status) => *response.status_mut() = status,
                Failure::GrpcStatus(code) => {
                    response.headers_mut().insert("grpc-status", code.parse().unwrap());
                }
                Failure::Error => return Err("the canary fails".into()),
                Failure::Panic | Failure::PanicInCall => panic!("intentional test panic"),
                Failure::Hang => std::future::pending().await,
            }
            Ok(response)
        })
    };
    BodyService::new(service_fn(respond))
}

/// A request as stable received it.
#[derive(Debug)]
struct Received {
    head: http::request::Parts,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

type Requests = Arc<Mutex<Vec<Received>>>;

/// A stable that reads the whole request and responds.
fn stable() -> BodyService {
    recording_stable().0
}

fn recording_stable() -> (BodyService, Requests) {
    let requests = Requests::default();
    let respond = {
        let requests = Arc::clone(&requests);
        move |request: Request<Body>| {
            let requests = Arc::clone(&requests);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?;
                let trailers = body.trailers().cloned();
                let received = Received { head, body: body.to_bytes(), trailers };
                requests.lock().unwrap().push(received);
                Ok(Response::new(Full::from("stable")))
            }
        }
    };
    (BodyService::new(service_fn(respond)), requests)
}

fn boxed() -> Fallback {
    Fallback::new::<Body>(BodyExt::boxed_unsync)
}

/// Assigns all calls to the canary, as evidence.
fn layer<C: 'static>(canary: C, fallback: Fallback) -> CanaryLayer<C> {
    layer_with_options(canary, CanaryOptions::new().fallback(fallback))
}

fn layer_with_options<C: 'static>(canary: C, options: CanaryOptions) -> CanaryLayer<C> {
    let layer = CanaryLayer::with_options("fails", canary, options.select(one_key));
    layer.handle().set_weight(ALMOST_ALL).unwrap();
    layer
}

fn fell_back(handle: &CanaryHandle) -> u64 {
    counts(handle).evidence.canary.fell_back
}

fn request(method: Method, body: Body) -> Request<Body> {
    Request::builder().method(method).uri("/things/7?q=1").header("x-a", "b").body(body).unwrap()
}

fn get() -> Request<Body> {
    request(Method::GET, empty())
}

fn empty() -> Body {
    Empty::new().map_err(|error| match error {}).boxed_unsync()
}

fn full(text: &'static str) -> Body {
    Full::from(text).map_err(|error| match error {}).boxed_unsync()
}

/// A body of these frames, without a known length.
fn frames(frames: impl IntoIterator<Item = Frame<Bytes>, IntoIter: Send + 'static>) -> Body {
    let frames = futures_util::stream::iter(frames.into_iter().map(Ok::<_, BoxError>));
    StreamBody::new(frames).boxed_unsync()
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from(text))
}

#[tokio::test]
async fn stable_repeats_a_call_that_the_canary_failed() {
    for failure in [
        Failure::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Failure::Status(StatusCode::SERVICE_UNAVAILABLE),
        Failure::Error,
        Failure::Panic,
        Failure::PanicInCall,
    ] {
        let (stable, requests) = recording_stable();
        let layer = layer(canary(0, failure), boxed());
        let handle = layer.handle();
        let hook_ran = Arc::new(AtomicBool::new(false));
        handle.on_canary_failure({
            let hook_ran = Arc::clone(&hook_ran);
            move |_, _| hook_ran.store(true, Ordering::Relaxed)
        });
        let response = layer.layer(stable).oneshot(get()).await.unwrap();
        assert_eq!(channel_of(&response), "stable");
        assert_eq!(response.status(), StatusCode::OK, "{failure:?}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "stable");
        assert!(hook_ran.load(Ordering::Relaxed));

        let requests = requests.lock().unwrap();
        let [received] = &requests[..] else { panic!("stable must be called once") };
        assert_eq!(received.head.uri, "/things/7?q=1");
        assert_eq!(received.head.headers.len(), 1);
        let assignment: &Assignment = received.head.extensions.get().unwrap();
        assert_eq!(
            (assignment.channel(), assignment.reason()),
            (Channel::Stable, AssignmentReason::FellBack)
        );

        let counts = counts(&handle);
        let canary = &counts.evidence.canary;
        assert_eq!([canary.picked, canary.failure, canary.fell_back], [1; 3]);
        let panics = matches!(failure, Failure::Panic | Failure::PanicInCall);
        assert_eq!(canary.panicked, u64::from(panics));
        let stable = &counts.excluded.stable;
        assert_eq!([stable.picked, stable.success, counts.evidence.stable.picked], [1, 1, 0]);
    }
}

#[tokio::test]
async fn responses_that_are_not_failures_are_returned() {
    for status in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS] {
        let layer = layer(canary(0, Failure::Status(status)), boxed());
        let response = layer.layer(stable()).oneshot(get()).await.unwrap();
        assert_eq!((channel_of(&response), response.status()), ("canary", status));
        assert_eq!(fell_back(&layer.handle()), 0);
    }
}

#[tokio::test]
async fn only_idempotent_methods_are_repeated_by_default() {
    let canary = canary(0, Failure::Panic);
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        let layer = layer(canary.clone(), boxed());
        let request = request(method.parse().unwrap(), empty());
        let response = layer.layer(stable()).oneshot(request).await.unwrap();
        assert_eq!(channel_of(&response), "stable", "{method}");
    }
    for method in ["POST", "PATCH", "CONNECT", "BREW"] {
        let layer = layer(canary.clone(), boxed());
        let request = request(method.parse().unwrap(), empty());
        let response = layer.layer(stable()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{method}");
        assert_eq!(fell_back(&layer.handle()), 0);
    }
    let posts = || boxed().only(Condition::method(Method::POST));
    for (method, channel) in [(Method::POST, "stable"), (Method::GET, "canary")] {
        let layer = layer(canary.clone(), posts());
        let request = request(method, empty());
        let response = layer.layer(stable()).oneshot(request).await.unwrap();
        assert_eq!(channel_of(&response), channel);
    }
}

#[tokio::test]
async fn upgrades_are_never_repeated() {
    for (method, upgrade) in [(Method::GET, true), (Method::CONNECT, false)] {
        let layer = layer(canary(0, Failure::Panic), boxed().only(Condition::any()));
        let mut request = request(method, empty());
        if upgrade {
            request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        }
        let response = layer.layer(stable()).oneshot(request).await.unwrap();
        assert_eq!(channel_of(&response), "canary");
    }
}

#[tokio::test]
async fn calls_at_full_weight_are_not_repeated() {
    let layer = layer(canary(0, Failure::Panic), boxed());
    layer.handle().promote().unwrap();
    let response = layer.layer(stable()).oneshot(get()).await.unwrap();
    assert_eq!(channel_of(&response), "canary");
}

#[tokio::test]
async fn a_call_with_a_grpc_failure_in_the_head_is_repeated_if_selected() {
    for (code, channel) in [("13", "stable"), ("14", "stable"), ("5", "canary"), ("0", "canary")] {
        let fallback = boxed().only(Condition::path("/things/7"));
        let layer = layer(canary(1, Failure::GrpcStatus(code)), fallback);
        let mut request = request(Method::POST, frames([data("message")]));
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let response = layer.layer(stable()).oneshot(request).await.unwrap();
        assert_eq!(channel_of(&response), channel, "{code}");
    }
}

#[tokio::test]
async fn a_failure_of_the_repeated_call_counts_for_stable() {
    let stable = service_fn(|_: Request<Body>| async {
        Err::<Response<Full<Bytes>>, BoxError>("stable fails".into())
    });
    let layer = layer(canary(0, Failure::Error), boxed());
    let error = layer.layer(stable).oneshot(get()).await.unwrap_err();
    assert_eq!(error.to_string(), "stable fails");
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.failure, counts.evidence.canary.fell_back], [1, 1]);
    assert_eq!([counts.excluded.stable.failure, counts.excluded.stable.in_flight()], [1, 0]);
}

#[test]
fn a_caller_who_cancels_a_repeated_call_cancels_the_call_of_stable() {
    let layer = layer(canary(0, Failure::Error), boxed());
    let stable = service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>()
    });
    let mut call = task::spawn(layer.layer(stable).oneshot(get()));
    assert_pending!(call.poll());
    assert_eq!(layer.handle().open(Channel::Stable), 1);
    drop(call);
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.failure, counts.evidence.canary.cancelled], [1, 0]);
    assert_eq!([counts.excluded.stable.cancelled, counts.excluded.stable.in_flight()], [1, 0]);
}

#[tokio::test]
async fn a_canary_that_is_not_ready_spills_and_does_not_fall_back() {
    let canary = ConcurrencyLimit::new(canary(0, Failure::Hang), 1);
    let layer = layer(canary, boxed());
    let service = layer.layer(stable());
    let mut open = task::spawn(service.clone().oneshot(get()));
    assert_pending!(open.poll());
    assert_eq!(channel_of(&service.oneshot(get()).await.unwrap()), "stable");
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.spilled, counts.evidence.canary.fell_back], [1, 0]);
}

#[tokio::test]
async fn bodies_that_implement_clone_need_no_wrapper() {
    let canary = service_fn(|_: Request<&'static str>| async {
        Err::<Response<Full<Bytes>>, BoxError>("the canary fails".into())
    });
    let stable = service_fn(|request: Request<&'static str>| {
        std::future::ready(Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(
            request.into_body(),
        ))))
    });
    let layer = layer(canary, Fallback::of_clones::<&'static str>());
    let response = layer.layer(stable).oneshot(Request::new("text")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "text");
}

#[tokio::test]
async fn with_a_fallback_for_another_body_type_calls_are_served_and_not_repeated() {
    let fails = canary(0, Failure::Status(StatusCode::BAD_GATEWAY));
    let layer = layer(fails, Fallback::of_clones::<String>());
    let response = layer.layer(stable()).oneshot(get()).await.unwrap();
    assert_eq!((channel_of(&response), response.status()), ("canary", StatusCode::BAD_GATEWAY));
    assert_eq!(fell_back(&layer.handle()), 0);
    layer.handle().roll_back();
    let response = layer.layer(stable()).oneshot(get()).await.unwrap();
    assert_eq!((channel_of(&response), response.status()), ("stable", StatusCode::OK));
}

#[tokio::test]
async fn a_boxed_layer_repeats_calls_with_any_type_of_body() {
    let fails = canary(0, Failure::Status(StatusCode::BAD_GATEWAY)).map_response(boxed_response);
    let layer = layer(fails, boxed()).boxed();
    let service = layer.layer(stable().map_response(boxed_response));
    let request = Request::get("/").body(Full::new(Bytes::from("text"))).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(channel_of(&response), "stable");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "stable");
    assert_eq!(fell_back(&layer.handle()), 1);
}

fn boxed_response(response: Response<Full<Bytes>>) -> Response<Body> {
    response.map(|body| body.map_err(|error| match error {}).boxed_unsync())
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn a_call_that_timed_out_is_repeated_with_the_full_limit_of_stable() {
    use std::time::Duration;

    let options = CanaryOptions::new()
        .fallback(boxed())
        .time_limit(Channel::Canary, Duration::from_secs(1))
        .time_limit(Channel::Stable, Duration::from_secs(3));
    let layer = layer_with_options(canary(1, Failure::Hang), options);
    let stable = service_fn(|request: Request<Body>| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok::<_, BoxError>(Response::new(Full::from(
            request.into_body().collect().await?.to_bytes(),
        )))
    });
    let request = request(Method::PUT, frames([data("body")]));
    let response = layer.layer(stable).oneshot(request).await.unwrap();
    assert_eq!(channel_of(&response), "stable");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "body");
    let canary = counts(&layer.handle()).evidence.canary;
    assert_eq!([canary.failure, canary.timed_out, canary.fell_back], [1; 3]);
}

#[test]
fn a_fallback_that_can_repeat_no_call_is_refused_when_the_layer_is_created() {
    use tower_canary::classify::Protocol;

    let refused = |options: CanaryOptions| {
        let create = || CanaryLayer::with_options("shop", (), options);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(create)).err();
        panic.map(|panic| *panic.downcast::<String>().unwrap())
    };
    let reads = || Condition::path("/shop.Catalog/Get");
    let of_grpc = || CanaryOptions::new().protocol(Protocol::Grpc);
    let message = "the fallback of canary shop repeats no call, because gRPC calls are POST: name \
                   the methods to repeat with `Fallback::only`";
    assert_eq!(refused(of_grpc().fallback(boxed())).as_deref(), Some(message));
    assert_eq!(refused(of_grpc().fallback(boxed().only(reads()))), None);
    assert_eq!(refused(CanaryOptions::new().fallback(boxed())), None);
    #[cfg(feature = "tonic")]
    {
        let tonic = CanaryOptions::new().fallback(Fallback::tonic());
        assert_eq!(refused(tonic).as_deref(), Some(message));
        let tonic = CanaryOptions::new().fallback(Fallback::tonic().only(reads()));
        assert_eq!(refused(tonic), None);
    }
}
