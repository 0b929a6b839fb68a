//! Where a call ends: each ends once, whichever way its response does.
#![allow(clippy::unwrap_used)]

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, pending, ready},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, service_fn};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryService, Channel, ChannelCounts, ResponseBody, Weight,
};

/// A body that does what its script says, step by step, and is pending after the last.
#[derive(Debug)]
struct Scripted {
    steps: VecDeque<Step>,
    /// Whether `is_end_stream` tells the end beforehand, as `Full` does and streams do not.
    foretells: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Data(&'static str),
    Trailers(&'static str),
    Error,
    Panic,
    End,
}
use Step::{Data, End, Error, Panic, Trailers};

impl Body for Scripted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.steps.pop_front() {
            Some(Data(text)) => Poll::Ready(Some(Ok(Frame::data(text.into())))),
            Some(Trailers(status)) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.parse().unwrap());
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Some(Error) => Poll::Ready(Some(Err(std::io::Error::other("broken")))),
            Some(Panic) => panic!("the body panics, as the test wants it to"),
            Some(End) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.foretells && matches!(self.steps.front(), Some(End))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(7)
    }
}

fn scripted(steps: &[Step]) -> Scripted {
    Scripted { steps: steps.iter().copied().collect(), foretells: false }
}

/// Both channels answer every call with what `respond` makes.
fn canary<R>(weight: Weight, respond: R) -> (CanaryHandle, CanaryService<Respond<R>, Respond<R>>)
where
    R: Fn() -> Response<Scripted> + Clone + 'static,
{
    let layer = CanaryLayer::new("bodies", Respond(respond.clone()));
    layer.handle().set_weight(weight).unwrap();
    (layer.handle(), layer.layer(Respond(respond)))
}

#[derive(Clone)]
struct Respond<R>(R);

impl<R: Fn() -> Response<Scripted>> Service<Request<()>> for Respond<R> {
    type Response = Response<Scripted>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Scripted>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(self.0()))
    }
}

fn call<S, B>(service: &mut S, request: Request<()>) -> Response<B>
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    assert_ready!(task::spawn(()).enter(|cx, _| service.poll_ready(cx))).unwrap();
    assert_ready!(task::spawn(pin!(service.call(request))).poll()).unwrap()
}

fn grpc() -> Request<()> {
    Request::builder().header(header::CONTENT_TYPE, "application/grpc").body(()).unwrap()
}

/// The counts of stable, or of the canary at full weight, after the identity was checked.
fn counts(handle: &CanaryHandle) -> ChannelCounts {
    let total = handle.counts().total();
    let channel = match handle.weight() {
        Weight::FULL => Channel::Canary,
        _ => Channel::Stable,
    };
    let counts = total.evidence[channel].clone();
    assert_eq!(counts.picked, counts.ended() + counts.in_flight());
    assert_eq!(counts.head.total(), counts.picked, "every head was timed once");
    assert_eq!(counts.end.total(), counts.success + counts.failure, "ends are timed once");
    counts
}

/// Polls a body as HTTP/2 does: until it says that it is over.
fn drive(body: &mut task::Spawn<ResponseBody<Scripted>>) -> Vec<Result<Frame<Bytes>, String>> {
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
        ("left pending, then dropped", http(), &[Data("a")], [0, 0, 1]),
        ("grpc: ok in the trailers", grpc(), &[Data("a"), Trailers("0")], [1, 0, 0]),
        ("grpc: failure in the trailers", grpc(), &[Data("a"), Trailers("13")], [0, 1, 0]),
        ("grpc: the caller's fault", grpc(), &[Trailers("5")], [1, 0, 0]),
        ("grpc: no status at all", grpc(), &[Data("a"), End], [0, 1, 0]),
        ("http with trailers", http(), &[Data("a"), Trailers("13")], [1, 0, 0]),
    ] {
        for weight in [Weight::ZERO, Weight::FULL] {
            let steps: Vec<Step> = steps.to_vec();
            let (handle, mut service) = canary(weight, move || Response::new(scripted(&steps)));
            let mut body = task::spawn(call(&mut service, clone(&request)).into_body());
            assert_eq!(counts(&handle).in_flight(), 1, "{name}");
            drive(&mut body);
            drive(&mut body);
            drop(body);
            let counts = counts(&handle);
            let seen = [counts.success, counts.failure, counts.cancelled];
            assert_eq!(seen, [success, failure, cancelled], "{name} at {weight}");
            assert_eq!(counts.in_flight(), 0, "{name}");
        }
    }
}

#[test]
fn a_body_that_foretells_its_end_ends_with_its_last_frame() {
    let (handle, mut service) = canary(Weight::ZERO, || {
        Response::new(Scripted { steps: [Data("a"), End].into(), foretells: true })
    });
    let mut body = task::spawn(call(&mut service, Request::new(())).into_body());
    assert_eq!(body.size_hint().exact(), Some(7));
    drive(&mut body);
    assert_eq!(counts(&handle).success, 1);
}

#[test]
fn a_body_that_is_over_at_the_head_is_never_polled_and_counts() {
    for (request, grpc_status, outcome) in
        [(Request::new(()), None, [1, 0]), (grpc(), Some("14"), [0, 1]), (grpc(), None, [0, 1])]
    {
        let (handle, mut service) = canary(Weight::ZERO, move || {
            let mut response = Response::new(Scripted { steps: [End].into(), foretells: true });
            if let Some(status) = grpc_status {
                response.headers_mut().insert("grpc-status", status.parse().unwrap());
            }
            response
        });
        let response = call(&mut service, request);
        let counts = counts(&handle);
        assert_eq!([counts.success, counts.failure], outcome);
        drop(response);
    }
}

#[test]
fn a_body_of_known_length_is_complete_when_all_its_bytes_came() {
    for (first, outcome) in [("all bytes", [1, 0]), ("half", [0, 1])] {
        let (handle, mut service) = canary(Weight::FULL, move || {
            let mut response = Response::new(scripted(&[Data(first)]));
            response.headers_mut().insert(header::CONTENT_LENGTH, 9.into());
            response
        });
        let mut body = task::spawn(call(&mut service, Request::new(())).into_body());
        drive(&mut body);
        drop(body);
        let counts = counts(&handle);
        assert_eq!([counts.success, counts.cancelled], outcome, "{first}");
    }
}

#[test]
fn a_response_without_a_body_ends_with_its_head() {
    for (method, status) in [
        (Method::HEAD, StatusCode::OK),
        (Method::GET, StatusCode::NO_CONTENT),
        (Method::GET, StatusCode::NOT_MODIFIED),
        (Method::GET, StatusCode::SWITCHING_PROTOCOLS),
        (Method::CONNECT, StatusCode::OK),
    ] {
        let (handle, mut service) = canary(Weight::ZERO, move || {
            let mut response = Response::new(scripted(&[]));
            *response.status_mut() = status;
            response
        });
        let request = Request::builder().method(method.clone()).body(()).unwrap();
        let response = call(&mut service, request);
        assert_eq!(counts(&handle).success, 1, "{method} {status}");
        drop(response);
    }
}

#[test]
fn a_server_error_whose_body_nobody_reads_is_still_a_failure() {
    let (handle, mut service) = canary(Weight::ZERO, || {
        let mut response = Response::new(scripted(&[]));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    });
    drop(call(&mut service, Request::new(())));
    assert_eq!(counts(&handle).failure, 1);
}

#[test]
fn a_canary_that_panics_in_its_body_is_a_failure_that_the_caller_sees() {
    for (request, is_grpc) in [(Request::new(()), false), (grpc(), true)] {
        let (handle, mut service) =
            canary(Weight::FULL, || Response::new(scripted(&[Data("a"), Panic])));
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
        assert!(body.is_end_stream(), "what panicked is not polled again");
    }
}

#[test]
fn a_panic_of_stable_is_counted_and_goes_its_way() {
    let (handle, mut service) =
        canary(Weight::ZERO, || Response::new(scripted(&[Data("a"), Panic])));
    let mut body = call(&mut service, Request::new(())).into_body();
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
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
fn closing_open_calls_wakes_and_ends_those_that_wait() {
    for (request, is_grpc) in [(Request::new(()), false), (grpc(), true)] {
        let (handle, mut service) = canary(Weight::FULL, || Response::new(scripted(&[])));
        let mut body = task::spawn(call(&mut service, request).into_body());
        assert_pending!(body.enter(|cx, body| body.poll_frame(cx)));
        assert_eq!(handle.open(Channel::Canary), 1);

        handle.roll_back();
        let drain = handle.drain(Channel::Canary);
        let mut ended = task::spawn(drain.ended());
        // A rollback alone closes nothing.
        assert_pending!(body.enter(|cx, body| body.poll_frame(cx)));
        assert_pending!(ended.poll());
        drain.close();
        assert!(body.is_woken());
        let last = assert_ready!(body.enter(|cx, body| body.poll_frame(cx))).unwrap();
        if is_grpc {
            assert_eq!(last.unwrap().into_trailers().unwrap()["grpc-status"], "14");
        } else {
            last.unwrap_err();
        }
        assert!(ended.is_woken());
        assert_ready!(ended.poll());
        let counts = handle.counts().total().evidence.canary;
        assert_eq!([counts.cancelled, counts.in_flight()], [1, 0]);
    }
}

#[test]
fn a_drain_concerns_only_the_calls_before_it() {
    let (handle, mut service) = canary(Weight::FULL, || Response::new(scripted(&[])));
    let before = call(&mut service, Request::new(()));
    let drain = handle.drain(Channel::Canary);
    let mut after = task::spawn(call(&mut service, Request::new(())).into_body());
    drain.close();
    assert_pending!(after.enter(|cx, body| body.poll_frame(cx)));
    assert_eq!(drain.open(), 1);
    drop(before);
    assert_eq!(drain.open(), 0);
    assert_ready!(task::spawn(drain.ended()).poll());
    assert_eq!(handle.open(Channel::Canary), 1);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_call_dropped_at_its_deadline_failed_and_one_dropped_before_was_cancelled() {
    // The layer reads the machine's clock, so a deadline that is over at once stands for one that passed.
    for (timeout, outcome) in [("1n", [1, 0]), ("99999999H", [0, 1]), ("100H", [0, 1])] {
        let never =
            service_fn(|_: Request<()>| pending::<Result<Response<Scripted>, Infallible>>());
        let layer = CanaryLayer::new("deadline", never);
        let mut service: CanaryService<_, _> = layer.layer(never);
        let mut request = grpc();
        request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        tokio::time::timeout(Duration::from_millis(1), service.call(request)).await.unwrap_err();
        let counts = layer.handle().counts().total().evidence.stable;
        assert_eq!([counts.failure, counts.cancelled], outcome, "{timeout}");
    }
}

#[tokio::test]
async fn frames_trailers_and_hints_pass_unchanged() {
    let (_, mut service) = canary(Weight::FULL, || {
        Response::new(scripted(&[Data("a"), Data("b"), Trailers("0"), End]))
    });
    let collected = call(&mut service, grpc()).into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "ab");
}

fn clone(request: &Request<()>) -> Request<()> {
    let mut clone = Request::new(());
    *clone.method_mut() = request.method().clone();
    *clone.headers_mut() = request.headers().clone();
    clone
}
