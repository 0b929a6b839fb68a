//! How long the calls of a channel may take.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::{Future, Pending, pending, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, Channel, Counts, UnifyBody, Weight,
    select::{Incoming, Selection},
};

type Body = http_body_util::Empty<bytes::Bytes>;
type Boxed = BoxCloneService<Request<()>, Response<Body>, Infallible>;

const LIMIT: Duration = Duration::from_secs(2);

fn answers_after(time: Duration) -> Boxed {
    BoxCloneService::new(service_fn(move |_: Request<()>| async move {
        sleep(time).await;
        Ok(Response::new(Body::new()))
    }))
}

fn hangs() -> Boxed {
    BoxCloneService::new(service_fn(|_: Request<()>| pending()))
}

/// A service that is never ready.
#[derive(Clone)]
struct Stuck;

impl Service<Request<()>> for Stuck {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pending<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        unreachable!("it is never ready")
    }
}

fn limited(channel: Channel) -> CanaryOptions {
    CanaryOptions::new().time_limit(channel, LIMIT)
}

fn layer_at<C: 'static>(canary: C, options: CanaryOptions, weight: Weight) -> CanaryLayer<C> {
    let layer = CanaryLayer::with_options("limited", canary, options);
    layer.handle().set_weight(weight).unwrap();
    layer
}

fn counts(handle: &CanaryHandle) -> Counts {
    let counts = handle.counts().total();
    for channel in Channel::ALL {
        for counts in [&counts.evidence[channel], &counts.excluded[channel]] {
            assert_eq!(counts.picked, counts.ended() + counts.in_flight());
        }
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_hangs_fails_at_its_limit() {
    for (channel, weight) in [(Channel::Stable, Weight::ZERO), (Channel::Canary, Weight::FULL)] {
        let layer = layer_at(hangs(), limited(channel), weight);
        let start = Instant::now();
        let response = layer.layer(hangs()).oneshot(Request::new(())).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(response.headers()["x-canary-channel"], channel.as_str());
        let counts = counts(&layer.handle());
        let counts = &counts.evidence[channel];
        let [failure, timed_out] = [counts.failure, counts.timed_out];
        assert_eq!([failure, timed_out, counts.panicked, counts.in_flight()], [1, 1, 0, 0]);
        assert_eq!(counts.head.total(), 0, "no head came");
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_one_channel_is_not_the_others() {
    for (channel, weight) in [(Channel::Stable, Weight::FULL), (Channel::Canary, Weight::ZERO)] {
        let slow = || answers_after(2 * LIMIT);
        let layer = layer_at(slow(), limited(channel), weight);
        let response = layer.layer(slow()).oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_call_is_told_in_grpc_and_in_its_head() {
    let layer = layer_at(hangs(), limited(Channel::Canary), Weight::FULL);
    let request =
        Request::builder().header(header::CONTENT_TYPE, "application/grpc").body(()).unwrap();
    let response = layer.layer(hangs()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "4");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(http_body::Body::is_end_stream(response.body()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_passes_and_its_stream_is_not_cut() {
    let streams = service_fn(|_: Request<()>| async {
        sleep(LIMIT / 2).await;
        let frame = async {
            sleep(5 * LIMIT).await;
            Ok::<_, Infallible>(http_body::Frame::data(bytes::Bytes::from("late")))
        };
        let body = StreamBody::new(futures_util::stream::once(frame));
        Ok::<_, Infallible>(Response::new(body))
    });
    let layer = layer_at(UnifyBody::new(streams), limited(Channel::Canary), Weight::FULL);
    let response = layer.layer(UnifyBody::new(streams)).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "late");
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.success, counts.evidence.canary.timed_out], [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_there_when_the_limit_is_over_is_given() {
    let layer = layer_at(answers_after(LIMIT), limited(Channel::Canary), Weight::FULL);
    let response = layer.layer(hangs()).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_channel_that_is_not_ready_counts() {
    let layer = layer_at(Stuck, limited(Channel::Canary), Weight::FULL);
    let response = layer.layer(hangs()).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(counts(&layer.handle()).evidence.canary.timed_out, 1);

    let layer = layer_at(hangs(), limited(Channel::Stable), Weight::ZERO);
    // Nobody asked whether it is ready, so the call itself does.
    let response = layer.layer(Stuck).call(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(counts(&layer.handle()).evidence.stable.timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_spills_has_the_whole_limit_of_stable() {
    let options = limited(Channel::Canary).time_limit(Channel::Stable, 3 * LIMIT);
    let layer = layer_at(Stuck, options, Weight::FULL);
    let start = Instant::now();
    let mut call = task::spawn(layer.layer(hangs()).oneshot(Request::new(())));
    assert_pending!(call.poll());
    tokio::time::advance(LIMIT / 2).await;
    layer.handle().roll_back();
    assert_eq!(call.await.unwrap().status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(start.elapsed().as_secs(), (LIMIT / 2 + 3 * LIMIT).as_secs());
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.spilled, counts.evidence.canary.timed_out], [1, 0]);
    assert_eq!([counts.excluded.stable.failure, counts.excluded.stable.timed_out], [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_future_of_a_call_whose_time_is_over_is_dropped_even_if_that_panics() {
    struct PanicsInDrop(#[expect(dead_code, reason = "it is counted")] Arc<()>);
    impl Future for PanicsInDrop {
        type Output = Result<Response<Body>, Infallible>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Pending
        }
    }
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("as the test wants it to");
        }
    }
    let alive = Arc::new(());
    let sick = service_fn({
        let alive = Arc::clone(&alive);
        move |_: Request<()>| PanicsInDrop(Arc::clone(&alive))
    });
    let layer = layer_at(sick, limited(Channel::Canary), Weight::FULL);
    let answering = |_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Body::new())));
    let mut call = task::spawn(layer.layer(service_fn(answering)).oneshot(Request::new(())));
    assert_pending!(call.poll());
    let before = Arc::strong_count(&alive);
    tokio::time::advance(LIMIT).await;
    assert_eq!(assert_ready_ok!(call.poll()).status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(Arc::strong_count(&alive), before - 1);
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.timed_out, counts.evidence.canary.panicked], [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_grpc_callers_own_shorter_deadline_ends_the_call_when_the_caller_does() {
    let layer = layer_at(hangs(), limited(Channel::Canary), Weight::FULL);
    let request = Request::builder()
        .header(header::CONTENT_TYPE, "application/grpc")
        .header("grpc-timeout", "1n")
        .body(())
        .unwrap();
    let mut call = task::spawn(layer.layer(hangs()).oneshot(request));
    assert_pending!(call.poll());
    drop(call);
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.failure, counts.evidence.canary.timed_out], [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_gives_its_place_back() {
    let options = limited(Channel::Canary)
        .concurrency_limit(1)
        .select(|_: &Incoming<'_>| Some(Selection::forced(Channel::Canary)));
    let layer = layer_at(hangs(), options, Weight::ZERO);
    let service = layer.layer(answers_after(Duration::ZERO));
    for _ in 0..3 {
        let response = service.clone().oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    }
}

#[test]
#[should_panic(expected = "time limit of canary is zero")]
fn a_limit_without_time_is_refused() {
    let _ = CanaryOptions::new().time_limit(Channel::Canary, Duration::ZERO);
}
