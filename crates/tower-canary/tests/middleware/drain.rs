//! Drains: asking open calls to end, closing them, and waiting for their end.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Weight, body::ResponseBody,
};

use crate::{
    select::{forced_request, testers},
    support::{ScriptedBody, ScriptedService, channel_of, grpc_request},
};

/// A canary at full weight whose bodies never end.
fn streaming() -> (CanaryHandle, impl FnMut(Request<()>) -> ResponseBody<ScriptedBody>) {
    let service = ScriptedService::new().body(ScriptedBody::new([]));
    let layer = CanaryLayer::new("streams", service.clone());
    layer.handle().set_weight(Weight::FULL).unwrap();
    let handle = layer.handle();
    let call = move |request| {
        let call = layer.layer(service.clone()).call(request);
        assert_ready!(task::spawn(call).poll()).unwrap().into_body()
    };
    (handle, call)
}

#[test]
fn closing_a_drain_ends_the_open_calls_and_wakes_their_readers() {
    for (request, is_grpc) in [(Request::new(()), false), (grpc_request(), true)] {
        let (handle, mut call) = streaming();
        let mut body = task::spawn(call(request));
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
fn a_drain_affects_only_the_calls_before_it() {
    let (handle, mut call) = streaming();
    let before = call(Request::new(()));
    let drain = handle.drain(Channel::Canary);
    let mut after = task::spawn(call(Request::new(())));
    drain.close();
    assert_pending!(after.enter(|cx, body| body.poll_frame(cx)));
    assert_eq!(drain.open(), 1);
    drop(before);
    assert_eq!(drain.open(), 0);
    assert_ready!(task::spawn(drain.ended()).poll());
    assert_eq!(handle.open(Channel::Canary), 1);
}

/// Testers reach the canary at any weight, so a rollback at weight zero has calls to drain as well.
#[tokio::test]
async fn a_rollback_at_weight_zero_drains_the_streams_of_testers() {
    type Body = Full<bytes::Bytes>;

    let open = Arc::new(Mutex::new(Vec::<Assignment>::new()));
    let service = service_fn({
        let open = Arc::clone(&open);
        move |request: Request<()>| -> Ready<Result<_, Infallible>> {
            let assignment = request.extensions().get::<Assignment>().unwrap().clone();
            open.lock().unwrap().push(assignment);
            ready(Ok(Response::new(Body::from("stream"))))
        }
    });
    let options = CanaryOptions::new().select(testers());
    let layer = CanaryLayer::with_options("shop", service.clone(), options);
    let canary = layer.handle();
    let service = layer.layer(service);
    let is_draining = |call: usize| open.lock().unwrap()[call].is_draining();

    let first = service.clone().oneshot(forced_request()).await.unwrap();
    assert_eq!(channel_of(&first), "canary");
    assert!(!is_draining(0));
    canary.roll_back();
    assert!(is_draining(0));

    let second = service.clone().oneshot(forced_request()).await.unwrap();
    assert!(!is_draining(1), "a rollback does not drain later calls");
    canary.roll_back();
    assert!(is_draining(1));
    drop((first, second));

    let epoch = || canary.counts().epochs.last().unwrap().epoch;
    let before = epoch();
    canary.roll_back();
    assert_eq!(epoch(), before, "without open calls, a rollback at weight zero is a no-op");
}
