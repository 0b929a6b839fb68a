//! How the end of a response decides the outcome of its call. Each call ends once.

use std::{
    convert::Infallible,
    future::{pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tokio_test::{assert_ready, task};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, CanaryService, Channel, Tags, Weight,
    body::{ResponseBody, UnifyBody},
    classify::{Classification, Classify, HeadClassification, Protocol},
    control::ControlExt as _,
    counts::ChannelCounts,
};

use crate::support::{
    ALMOST_ALL, HALF, SHORTEST_DEADLINE, ScriptedBody, ScriptedService,
    Step::{self, Data, End, Error, Panic, Trailers},
    channel_of, grpc_request, wait_for_deadline,
};

type Scripted = CanaryService<ScriptedService, ScriptedService>;

/// Mounts the same service as both channels.
fn canary(weight: Weight, service: ScriptedService) -> (CanaryHandle, Scripted) {
    let layer = CanaryLayer::new("bodies", service.clone());
    layer.handle().set_weight(weight).unwrap();
    (layer.handle(), layer.layer(service))
}

/// A service with a body of these steps, which does not announce its end.
fn with_body(steps: &[Step]) -> ScriptedService {
    let data = |step: &Step| if let Data(text) = step { text.len() as u64 } else { 0 };
    let body = ScriptedBody::new(steps.iter().copied());
    ScriptedService::new().body(match steps.last() {
        Some(Data(_)) => body,
        _ => body.length(steps.iter().map(data).sum()),
    })
}

fn call<S, B>(service: &mut S, request: Request<()>) -> Response<B>
where
    S: Service<Request<()>, Response = Response<B>, Error = BoxError>,
{
    assert_ready!(task::spawn(()).enter(|cx, _| service.poll_ready(cx))).unwrap();
    assert_ready!(task::spawn(pin!(service.call(request))).poll()).unwrap()
}

/// Asserts the counting identities, and returns the counts of the channel that gets all calls.
fn counts(handle: &CanaryHandle) -> ChannelCounts {
    let channel = match handle.weight() {
        Weight::FULL => Channel::Canary,
        _ => Channel::Stable,
    };
    let counts = crate::support::counts(handle).evidence[channel].clone();
    assert_eq!(counts.head.total(), counts.picked, "each head is timed once");
    assert_eq!(counts.end.total(), counts.success + counts.failure, "each end is timed once");
    counts
}

/// Polls a body until it is pending or reports its end, as HTTP/2 servers do.
fn drive(body: &mut task::Spawn<ResponseBody<ScriptedBody>>) -> Vec<Result<Frame<Bytes>, String>> {
    let mut frames = Vec::new();
    while !body.is_end_stream() {
        match body.enter(|cx, body| body.poll_frame(cx)) {
            Poll::Ready(Some(frame)) => frames.push(frame.map_err(|error| error.to_string())),
            Poll::Ready(None) | Poll::Pending => break,
        }
    }
    frames
}

#[test]
fn each_end_of_a_body_is_counted_once() {
    let http = || Request::new(());
    for (name, request, steps, [success, failure, cancelled]) in [
        ("polled to its end", http(), &[Data("a"), End][..], [1, 0, 0]),
        ("an error", http(), &[Data("a"), Error], [0, 1, 0]),
        ("dropped while pending", http(), &[Data("a")], [0, 0, 1]),
        ("grpc: ok in the trailers", grpc_request(), &[Data("a"), Trailers("0")], [1, 0, 0]),
        ("grpc: failure in the trailers", grpc_request(), &[Data("a"), Trailers("13")], [0, 1, 0]),
        ("grpc: the caller's fault", grpc_request(), &[Trailers("5")], [1, 0, 0]),
        ("grpc: no status at all", grpc_request(), &[Data("a"), End], [0, 1, 0]),
        ("http with trailers", http(), &[Data("a"), Trailers("13")], [1, 0, 0]),
    ] {
        for weight in [Weight::ZERO, Weight::FULL] {
            let (handle, mut service) = canary(weight, with_body(steps));
            let mut body = task::spawn(call(&mut service, request.clone()).into_body());
            assert_eq!(counts(&handle).in_flight(), 1, "{name}");
            drive(&mut body);
            drive(&mut body);
            drop(body);
            let counts = counts(&handle);
            let outcomes = [counts.success, counts.failure, counts.cancelled];
            assert_eq!(outcomes, [success, failure, cancelled], "{name} at {weight}");
            assert_eq!(counts.in_flight(), 0, "{name}");
        }
    }
}

#[test]
fn a_body_that_announces_its_end_ends_with_its_last_frame() {
    let body = ScriptedBody::new([Data("letters"), End]).length(7).announces_end();
    let (handle, mut service) = canary(Weight::ZERO, ScriptedService::new().body(body));
    let mut body = task::spawn(call(&mut service, Request::new(())).into_body());
    assert_eq!(body.size_hint().exact(), Some(7));
    drive(&mut body);
    assert_eq!(counts(&handle).success, 1);
}

#[test]
fn an_empty_body_is_counted_without_a_poll() {
    for (request, grpc_status, outcome) in [
        (Request::new(()), None, [1, 0]),
        (grpc_request(), Some("14"), [0, 1]),
        (grpc_request(), None, [0, 1]),
    ] {
        let mut service = ScriptedService::new();
        if let Some(status) = grpc_status {
            service = service.header(HeaderName::from_static("grpc-status"), status);
        }
        let (handle, mut service) = canary(Weight::ZERO, service);
        let response = call(&mut service, request);
        let counts = counts(&handle);
        assert_eq!([counts.success, counts.failure], outcome);
        drop(response);
    }
}

#[test]
fn a_body_of_known_length_is_complete_after_its_last_byte() {
    for (data, outcome) in [("all bytes", [1, 0]), ("half", [0, 1])] {
        let service = with_body(&[Data(data)]).header(header::CONTENT_LENGTH, "9");
        let (handle, mut service) = canary(Weight::FULL, service);
        let mut body = task::spawn(call(&mut service, Request::new(())).into_body());
        drive(&mut body);
        drop(body);
        let counts = counts(&handle);
        assert_eq!([counts.success, counts.cancelled], outcome, "{data}");
    }
}

#[test]
fn the_end_of_a_response_is_classified_once() {
    /// Leaves each response to its end, and counts the ends.
    #[derive(Clone, Default)]
    struct CountEnds(Arc<AtomicU64>);

    impl Classify for CountEnds {
        fn head(&self, _: Protocol, _: &Response<()>) -> HeadClassification {
            HeadClassification::AtEnd
        }

        fn trailers(&self, _: Protocol, _: Option<&HeaderMap>) -> Classification {
            self.0.fetch_add(1, Ordering::Relaxed);
            Classification::Success
        }
    }

    for (name, body) in [
        ("announced with the last frame", ScriptedBody::from("a")),
        ("polled", ScriptedBody::new([Data("a"), End])),
        ("dropped after the last byte", ScriptedBody::new([Data("a")])),
        ("trailers", ScriptedBody::new([Data("a"), Trailers("0")])),
    ] {
        for weight in [Weight::ZERO, Weight::FULL] {
            let ends = CountEnds::default();
            let service = ScriptedService::new().body(body.clone());
            let service = service.header(header::CONTENT_LENGTH, "1");
            let options = CanaryOptions::new().classify(ends.clone());
            let layer = CanaryLayer::with_options("ends", service.clone(), options);
            layer.handle().set_weight(weight).unwrap();
            let response = call::<Scripted, _>(&mut layer.layer(service), Request::new(()));
            drive(&mut task::spawn(response.into_body()));
            assert_eq!(ends.0.load(Ordering::Relaxed), 1, "{name} at {weight}");
        }
    }
}

#[test]
fn an_exact_size_hint_replaces_a_missing_content_length() {
    let body = ScriptedBody::new([Data("x"), End]).length(1);
    let (handle, mut service) = canary(Weight::ZERO, ScriptedService::new().body(body));
    let mut body = task::spawn(call(&mut service, Request::new(())).into_body());
    assert!(body.enter(|cx, body| body.poll_frame(cx)).is_ready());
    drop(body);
    assert_eq!(counts(&handle).success, 1);
}

#[test]
fn a_response_that_cannot_have_a_body_ends_with_its_head() {
    for (method, status) in [
        (Method::HEAD, StatusCode::OK),
        (Method::GET, StatusCode::NO_CONTENT),
        (Method::GET, StatusCode::NOT_MODIFIED),
        (Method::GET, StatusCode::SWITCHING_PROTOCOLS),
        (Method::CONNECT, StatusCode::OK),
    ] {
        let (handle, mut service) = canary(Weight::ZERO, with_body(&[]).status(status));
        let request = Request::builder().method(method.clone()).body(()).unwrap();
        let response = call(&mut service, request);
        assert_eq!(counts(&handle).success, 1, "{method} {status}");
        drop(response);
    }
}

#[test]
fn a_server_error_whose_body_is_not_read_is_a_failure() {
    let service = with_body(&[]).status(StatusCode::BAD_GATEWAY);
    let (handle, mut service) = canary(Weight::ZERO, service);
    drop(call(&mut service, Request::new(())));
    assert_eq!(counts(&handle).failure, 1);
}

#[test]
fn a_canary_that_panics_in_its_body_is_a_failure_that_the_caller_sees() {
    for (request, is_grpc) in [(Request::new(()), false), (grpc_request(), true)] {
        let (handle, mut service) = canary(Weight::FULL, with_body(&[Data("a"), Panic]));
        let mut body = task::spawn(call(&mut service, request).into_body());
        let frames = drive(&mut body);

        let counts = counts(&handle);
        assert_eq!([counts.failure, counts.panicked], [1, 1]);
        let last = frames.into_iter().last().unwrap();
        if is_grpc {
            assert_eq!(last.unwrap().into_trailers().unwrap()["grpc-status"], "13");
        } else {
            last.unwrap_err();
        }
        assert!(body.is_end_stream(), "a body that has panicked is not polled again");
    }
}

#[test]
fn a_panic_of_stables_body_is_counted_and_resumed() {
    let (handle, mut service) = canary(Weight::ZERO, with_body(&[Data("a"), Panic]));
    let mut body = call(&mut service, Request::new(())).into_body();
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        while let Poll::Ready(Some(_)) =
            task::spawn(&mut body).enter(|cx, mut body| Pin::new(&mut **body).poll_frame(cx))
        {
        }
    }));
    assert!(unwound.is_err());
    let counts = counts(&handle);
    assert_eq!([counts.failure, counts.panicked], [1, 1]);
}

#[test]
fn a_grpc_call_dropped_after_its_deadline_is_a_failure_and_before_it_is_cancelled() {
    // A timeout below 10 ms is no deadline.
    for (timeout, outcome) in
        [("10m", [1, 0]), ("1n", [0, 1]), ("9m", [0, 1]), ("99999999H", [0, 1]), ("100H", [0, 1])]
    {
        let hangs =
            service_fn(|_: Request<()>| pending::<Result<Response<ScriptedBody>, Infallible>>());
        let layer = CanaryLayer::new("deadline", hangs);
        let mut service: CanaryService<_, _> = layer.layer(hangs);
        let mut request = grpc_request();
        request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        let call = service.call(request);
        wait_for_deadline(SHORTEST_DEADLINE);
        drop(call);
        let counts = layer.handle().counts().total().evidence.stable;
        assert_eq!([counts.failure, counts.cancelled], outcome, "{timeout}");
    }
}

#[tokio::test]
async fn the_head_of_an_upgrade_that_the_service_drops_is_counted() {
    let handle: Arc<OnceLock<CanaryHandle>> = Arc::default();
    let in_service = Arc::clone(&handle);
    let service = service_fn(move |request: Request<()>| {
        // Ends the call's epoch, which then closes with the call.
        in_service.get().unwrap().set_weight(HALF).unwrap();
        drop(request);
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        ready(Ok::<_, BoxError>(response))
    });
    let options = CanaryOptions::new().classify(|_: &Response<()>| Classification::Failure);
    let layer = CanaryLayer::with_options("upgrade", service.clone(), options);
    let handle = handle.get_or_init(|| layer.handle());
    handle.set_weight(ALMOST_ALL).unwrap();
    handle.on_canary_failure(|handle, _| drop(handle.counts()));
    let request = Request::builder().header("connection", "upgrade").header("upgrade", "websocket");
    layer.layer(service).oneshot(request.body(()).unwrap()).await.unwrap();

    let counts = handle.counts().total().evidence.canary;
    assert_eq!([counts.failure, counts.head.total(), counts.end.total()], [1, 1, 1]);
}

#[tokio::test]
async fn frames_trailers_and_size_hints_pass_unchanged() {
    let steps = [Data("a"), Data("b"), Trailers("0"), End];
    let (_, mut service) = canary(Weight::FULL, with_body(&steps));
    let collected = call(&mut service, grpc_request()).into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "ab");
}

#[tokio::test]
async fn services_with_different_bodies_are_unified() {
    let v1 = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))))
    });
    let v2 = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let options = CanaryOptions::new().tags(Tags::header_only());
    let layer = CanaryLayer::with_options("differing", UnifyBody::new(v2), options);
    let response = layer.layer(UnifyBody::new(v1)).oneshot(Request::new(())).await.unwrap();
    assert_eq!(channel_of(&response), "stable");
}
