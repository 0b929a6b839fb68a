use std::{convert::Infallible, future};

use canary_core::{Channel, ChannelCounts, Weight};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tokio_test::task;
use tower::{Layer, Service, service_fn};

use super::*;
use crate::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, Fallback, RouteClasses,
    counting::clock::testing::advance, select::Condition,
};

const SECOND: Duration = Duration::from_secs(1);

/// A time after the start of the clock.
fn at(seconds: f64) -> TickInstant {
    TickInstant::from_ticks(ticks_in(Duration::from_secs_f64(1_000.0 + seconds)))
}

fn numbers(counts: PerAge) -> [u64; 3] {
    Age::ALL.map(|age| counts[age])
}

#[test]
fn a_call_counts_once_at_each_age_whenever_the_counts_are_read() {
    for reads in [vec![500.0], vec![3.0, 6.1, 31.1, 121.1, 500.0], vec![31.1, 32.0]] {
        let calls = UnansweredCalls::default();
        (0..7).for_each(|_| calls.start(at(0.0)));
        for read in reads {
            let expected = [5.0, 30.0, 120.0].map(|age| if read > age { 7 } else { 0 });
            assert_eq!(numbers(calls.count(at(read))), expected, "{read}");
        }
    }
}

#[test]
fn an_answer_counts_at_the_ages_that_the_call_had_reached() {
    for (answered, expected) in [
        (0.0, [0, 0, 0]),
        (4.9, [0, 0, 0]),
        (5.0, [1, 0, 0]),
        (29.9, [1, 0, 0]),
        (30.0, [1, 1, 0]),
        (119.9, [1, 1, 0]),
        (120.0, [1, 1, 1]),
        (9_000.0, [1, 1, 1]),
    ] {
        let calls = UnansweredCalls::default();
        calls.start(at(0.0));
        calls.answer(at(0.0), at(answered));
        assert_eq!(numbers(calls.count(at(answered))), expected, "{answered}");
        assert_eq!(numbers(calls.count(at(10_000.0))), expected, "{answered}");
    }
}

#[test]
fn a_call_counts_within_a_second_of_the_age() {
    for start in [0.0, 0.2, 0.4, 0.6, 0.8] {
        let calls = UnansweredCalls::default();
        calls.start(at(start));
        assert_eq!(numbers(calls.count(at(start + 4.99))), [0, 0, 0]);
        assert_eq!(numbers(calls.count(at(start + 6.01))), [1, 0, 0]);
    }
}

#[test]
fn calls_that_never_end_stay_counted_when_their_slot_is_reused() {
    let calls = UnansweredCalls::default();
    for second in 0..600_u32 {
        calls.start(at(f64::from(second)));
        let counted = numbers(calls.count(at(f64::from(second))));
        for (calls, age) in counted.into_iter().zip([5, 30, 120]) {
            let expected = u64::from((second + 1).saturating_sub(age));
            assert!(calls <= expected && calls + 2 >= expected, "{second}: {counted:?}");
        }
    }
    calls.answer(at(3.0), at(700.0));
    calls.answer(at(599.0), at(700.0));
    assert_eq!(numbers(calls.count(at(721.0))), [600, 600, 599]);
}

#[test]
fn a_call_that_was_counted_stays_counted_if_its_thread_read_the_clock_earlier() {
    let calls = UnansweredCalls::default();
    calls.start(at(0.0));
    assert_eq!(numbers(calls.count(at(7.0))), [1, 0, 0]);
    calls.answer(at(0.0), at(4.9));
    assert_eq!(numbers(calls.count(at(7.0))), [1, 0, 0]);
    calls.start(at(1.0));
    assert_eq!(numbers(calls.count(at(8.1))), [2, 0, 0], "no later call is lost for it");
}

#[test]
fn a_clock_that_goes_back_counts_no_call_that_is_young() {
    let calls = UnansweredCalls::default();
    (0..300).for_each(|second| calls.start(at(f64::from(second))));
    let before = numbers(calls.count(at(100.0)));
    // The clock is replaced by one that started 900 seconds later.
    let at = |seconds| at(seconds - 900.0);
    (0..300).for_each(|second| calls.start(at(f64::from(second))));
    assert_eq!(numbers(calls.count(at(299.0)))[2], before[2] + 179);
}

/// Counts calls of a canary at full weight whose service and body behave as given.
struct Served {
    handle: CanaryHandle,
}

impl Served {
    fn canary(&self) -> ChannelCounts {
        self.handle.counts().total().evidence.canary
    }

    #[track_caller]
    fn assert_unanswered(&self, expected: [u64; 3]) {
        assert_eq!(numbers(self.canary().unanswered), expected);
    }
}

type Answer = Full<&'static [u8]>;

async fn hang<B>(_: Request<B>) -> Result<Response<Answer>, Infallible> {
    future::pending().await
}

async fn respond<B>(_: Request<B>) -> Result<Response<Answer>, Infallible> {
    Ok(Response::new(Full::new(b"hello")))
}

fn layer<C: Send + Sync + 'static>(canary: C, options: CanaryOptions) -> CanaryLayer<C> {
    let layer = CanaryLayer::with_options("ages", canary, options);
    layer.handle().set_weight(Weight::from_ppm(999_999)).expect("a weight below 100 %");
    layer
}

fn request() -> Request<()> {
    Request::new(())
}

#[test]
fn a_hanging_call_counts_at_each_age_and_again_when_its_caller_leaves() {
    let layer = layer(service_fn(hang), CanaryOptions::new());
    let served = Served { handle: layer.handle() };
    let mut call = task::spawn(layer.layer(service_fn(hang)).call(request()));
    assert!(call.poll().is_pending());
    served.assert_unanswered([0, 0, 0]);
    advance(7 * SECOND);
    served.assert_unanswered([1, 0, 0]);
    advance(25 * SECOND);
    served.assert_unanswered([1, 1, 0]);
    drop(call);
    assert_eq!(served.canary().cancelled, 1);
    advance(1_000 * SECOND);
    served.assert_unanswered([1, 1, 0]);
}

#[test]
fn a_future_that_is_never_polled_waits_for_its_answer_until_it_is_dropped() {
    let layer = layer(service_fn(respond), CanaryOptions::new());
    let served = Served { handle: layer.handle() };
    let never_polled = layer.layer(service_fn(respond)).call(request());
    let dropped = layer.layer(service_fn(respond)).call(request());
    advance(SECOND);
    drop(dropped);
    advance(6 * SECOND);
    served.assert_unanswered([1, 0, 0]);
    drop(never_polled);
    advance(1_000 * SECOND);
    served.assert_unanswered([1, 0, 0]);
}

#[test]
fn a_response_whose_body_lasts_is_answered() {
    let layer = layer(service_fn(respond), CanaryOptions::new());
    let served = Served { handle: layer.handle() };
    let mut call = task::spawn(layer.layer(service_fn(respond)).call(request()));
    let std::task::Poll::Ready(Ok(response)) = call.poll() else { panic!("responds at once") };
    advance(1_000 * SECOND);
    assert!(!response.body().is_end_stream());
    assert_eq!(served.canary().in_flight(), 1);
    served.assert_unanswered([0, 0, 0]);
    drop(response);
    served.assert_unanswered([0, 0, 0]);
}

#[test]
fn an_upgraded_connection_is_answered() {
    let kept = std::sync::Arc::new(std::sync::Mutex::new(None));
    let keeper = std::sync::Arc::clone(&kept);
    let upgrade = service_fn(move |request: Request<()>| {
        *keeper.lock().unwrap() = request.extensions().get::<Assignment>().cloned();
        let mut response = Response::new(Answer::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        future::ready(Ok::<_, Infallible>(response))
    });
    let layer = layer(upgrade, CanaryOptions::new());
    let served = Served { handle: layer.handle() };
    let request = Request::get("/").header("upgrade", "x").header("connection", "upgrade");
    let mut service = layer.layer(service_fn(respond));
    let mut call = task::spawn(service.call(request.body(()).unwrap()));
    assert!(call.poll().is_ready());
    advance(1_000 * SECOND);
    assert_eq!(served.canary().in_flight(), 1);
    served.assert_unanswered([0, 0, 0]);
    kept.lock().unwrap().take();
    assert_eq!(served.canary().in_flight(), 0);
    served.assert_unanswered([0, 0, 0]);
}

#[test]
fn a_call_that_falls_back_leaves_the_canary_and_waits_for_stable() {
    let failing = service_fn(|_: Request<()>| {
        future::ready(Ok::<_, Infallible>(
            Response::builder().status(503).body(Answer::default()).unwrap(),
        ))
    });
    let fallback = Fallback::of_clones::<()>();
    let layer = layer(failing, CanaryOptions::new().fallback(fallback));
    let served = Served { handle: layer.handle() };
    let mut call = task::spawn(layer.layer(service_fn(hang)).call(request()));
    assert!(call.poll().is_pending());
    advance(7 * SECOND);
    served.assert_unanswered([0, 0, 0]);
    let stable = &served.handle.counts().total().excluded[Channel::Stable];
    assert_eq!((stable.fell_back, numbers(stable.unanswered)), (0, [1, 0, 0]));
    drop(call);
}

#[test]
fn a_hang_counts_in_the_epoch_of_its_assignment_and_in_its_class() {
    let classes = RouteClasses::new().class("all", Condition::path("/"));
    let layer = layer(service_fn(hang), CanaryOptions::new().route_classes(classes));
    let handle = layer.handle();
    let mut call = task::spawn(layer.layer(service_fn(hang)).call(request()));
    assert!(call.poll().is_pending());
    for percent in [10, 20, 30] {
        handle.set_weight(Weight::from_percent(percent)).unwrap();
    }
    advance(7 * SECOND);
    let counts = handle.counts();
    let of_epoch = |epoch: usize| numbers(counts.epochs[epoch].counts.evidence.canary.unanswered);
    let hung = counts.epochs.iter().position(|epoch| epoch.weight == Weight::from_ppm(999_999));
    assert_eq!(of_epoch(hung.unwrap()), [1, 0, 0]);
    let total = counts.total();
    assert_eq!(numbers(total.evidence.canary.unanswered), [1, 0, 0]);
    assert_eq!(numbers(total.classes["all"].canary.unanswered), [1, 0, 0]);
    advance(30 * SECOND);
    drop(call);
    for percent in [40, 50] {
        handle.set_weight(Weight::from_percent(percent)).unwrap();
    }
    let closed = handle.counts();
    closed.since(&counts).unwrap();
    assert_eq!(numbers(closed.total().evidence.canary.unanswered), [1, 1, 0]);
}

#[cfg(feature = "axum")]
#[test]
fn a_call_ages_only_while_it_does_not_wait_for_its_caller() {
    use axum::body::{Body as AxumBody, Bytes, to_bytes};
    use http_body::Frame;
    use http_body_util::StreamBody;

    async fn read_and_hang(request: Request<AxumBody>) -> Result<Response<Answer>, Infallible> {
        to_bytes(request.into_body(), usize::MAX).await.unwrap();
        hang(Request::new(())).await
    }
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures_util::stream::poll_fn(move |cx| {
        receiver.poll_recv(cx).map(|part| part.map(|part| Ok::<_, Infallible>(Frame::data(part))))
    });
    let layer = layer(service_fn(read_and_hang), CanaryOptions::new());
    let served = Served { handle: layer.handle() };
    let request = Request::new(AxumBody::new(StreamBody::new(frames)));
    let mut call = task::spawn(layer.layer(service_fn(read_and_hang)).call(request));
    for _ in 0..3 {
        assert!(call.poll().is_pending());
        advance(40 * SECOND);
        served.assert_unanswered([0, 0, 0]);
        sender.try_send(Bytes::from_static(b"part")).unwrap();
    }
    assert!(call.poll().is_pending());
    drop(sender);
    // The end has arrived, and the service does not read it.
    advance(7 * SECOND);
    served.assert_unanswered([1, 0, 0]);
    assert!(call.poll().is_pending());
    advance(30 * SECOND);
    served.assert_unanswered([1, 1, 0]);
    drop(call);
    served.assert_unanswered([1, 1, 0]);
}
