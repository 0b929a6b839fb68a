//! Time limits of the channels.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_canary::{
    CanaryLayer, CanaryOptions, Channel, Weight,
    body::UnifyBody,
    select::{Incoming, Selection},
};

use crate::support::{
    OnPoll, Readiness, SHORTEST_DEADLINE, ScriptedBody, ScriptedService, channel_of, counts,
    grpc_request, wait_for_deadline,
};

const LIMIT: Duration = Duration::from_secs(2);

fn responds_after(
    time: Duration,
) -> BoxCloneService<Request<()>, Response<ScriptedBody>, BoxError> {
    BoxCloneService::new(service_fn(move |_: Request<()>| async move {
        sleep(time).await;
        Ok(Response::new(ScriptedBody::empty()))
    }))
}

fn hangs() -> ScriptedService {
    ScriptedService::new().future(OnPoll::Hang)
}

fn never_ready() -> ScriptedService {
    ScriptedService::new().readiness(Readiness::Pending)
}

fn limited(channel: Channel) -> CanaryOptions {
    CanaryOptions::new().time_limit(channel, LIMIT)
}

fn layer_at<C: 'static>(canary: C, options: CanaryOptions, weight: Weight) -> CanaryLayer<C> {
    let layer = CanaryLayer::with_options("limited", canary, options);
    layer.handle().set_weight(weight).unwrap();
    layer
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_fails_at_the_limit_of_its_channel() {
    for (channel, weight) in [(Channel::Stable, Weight::ZERO), (Channel::Canary, Weight::FULL)] {
        let layer = layer_at(hangs(), limited(channel), weight);
        let start = Instant::now();
        let response = layer.layer(hangs()).oneshot(Request::new(())).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(channel_of(&response), channel.as_str());
        let counts = counts(&layer.handle());
        let counts = &counts.evidence[channel];
        let [failure, timed_out] = [counts.failure, counts.timed_out];
        assert_eq!([failure, timed_out, counts.panicked, counts.in_flight()], [1, 1, 0, 0]);
        assert_eq!(counts.head.total(), 0, "there was no head");
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_one_channel_does_not_affect_the_other() {
    for (channel, weight) in [(Channel::Stable, Weight::FULL), (Channel::Canary, Weight::ZERO)] {
        let slow = || responds_after(2 * LIMIT);
        let layer = layer_at(slow(), limited(channel), weight);
        let response = layer.layer(slow()).oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_grpc_call_gets_a_grpc_status_in_its_head() {
    let layer = layer_at(hangs(), limited(Channel::Canary), Weight::FULL);
    let response = layer.layer(hangs()).oneshot(grpc_request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "4");
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(http_body::Body::is_end_stream(response.body()));
}

#[tokio::test(start_paused = true)]
async fn the_limit_applies_to_the_head_and_not_to_the_body() {
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
async fn a_response_that_is_ready_at_the_limit_is_returned() {
    let layer = layer_at(responds_after(LIMIT), limited(Channel::Canary), Weight::FULL);
    let response = layer.layer(hangs()).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_limit_includes_the_wait_for_readiness() {
    let layer = layer_at(never_ready(), limited(Channel::Canary), Weight::FULL);
    let response = layer.layer(hangs()).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(counts(&layer.handle()).evidence.canary.timed_out, 1);

    let layer = layer_at(hangs(), limited(Channel::Stable), Weight::ZERO);
    // Without a `poll_ready`, the call itself waits for readiness.
    let response = layer.layer(never_ready()).call(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(counts(&layer.handle()).evidence.stable.timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_spills_gets_the_full_limit_of_stable() {
    let options = limited(Channel::Canary).time_limit(Channel::Stable, 3 * LIMIT);
    let layer = layer_at(never_ready(), options, Weight::FULL);
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
async fn a_panic_in_the_drop_of_a_timed_out_future_is_caught() {
    struct PanicsInDrop(#[expect(dead_code, reason = "only its strong count is used")] Arc<()>);
    impl Future for PanicsInDrop {
        type Output = Result<Response<ScriptedBody>, BoxError>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Pending
        }
    }
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("intentional test panic in drop");
        }
    }
    let alive = Arc::new(());
    let canary = service_fn({
        let alive = Arc::clone(&alive);
        move |_: Request<()>| PanicsInDrop(Arc::clone(&alive))
    });
    let layer = layer_at(canary, limited(Channel::Canary), Weight::FULL);
    let service = layer.layer(ScriptedService::new());
    let mut call = task::spawn(service.oneshot(Request::new(())));
    assert_pending!(call.poll());
    let before = Arc::strong_count(&alive);
    tokio::time::advance(LIMIT).await;
    assert_eq!(assert_ready_ok!(call.poll()).status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(Arc::strong_count(&alive), before - 1);
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.timed_out, counts.evidence.canary.panicked], [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_grpc_deadline_of_the_caller_is_a_failure_but_no_timeout() {
    let layer = layer_at(hangs(), limited(Channel::Canary), Weight::FULL);
    let mut request = grpc_request();
    request.headers_mut().insert("grpc-timeout", "10m".parse().unwrap());
    let mut call = task::spawn(layer.layer(hangs()).oneshot(request));
    assert_pending!(call.poll());
    wait_for_deadline(SHORTEST_DEADLINE);
    drop(call);
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.failure, counts.evidence.canary.timed_out], [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_timed_out_frees_its_permit() {
    let options = limited(Channel::Canary)
        .concurrency_limit(1)
        .select(|_: &Incoming<'_>| Some(Selection::forced(Channel::Canary)));
    let layer = layer_at(hangs(), options, Weight::ZERO);
    let service = layer.layer(responds_after(Duration::ZERO));
    for _ in 0..3 {
        let response = service.clone().oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    }
}

#[test]
#[should_panic(expected = "time limit of canary is zero")]
fn a_limit_of_zero_is_refused() {
    let _ = CanaryOptions::new().time_limit(Channel::Canary, Duration::ZERO);
}
