//! The request bodies of calls that stable may have to repeat.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{BoxError, Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};

use super::{
    Body, Failure, boxed, canary, data, empty, fell_back, frames, full, layer, recording_stable,
    request, stable,
};
use crate::support::{ScriptedBody, Step, channel_of, counts};

/// A body of the frames that are sent to the channel.
fn channel_body() -> (mpsc::UnboundedSender<&'static str>, Body) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let frames = futures_util::stream::poll_fn(move |cx| {
        receiver.poll_recv(cx).map(|text| text.map(|text| Ok(data(text))))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

#[tokio::test]
async fn stable_reads_the_whole_body_after_the_canary_read_a_part() {
    let trailers: HeaderMap =
        [("x-sum".parse().unwrap(), "6".parse().unwrap())].into_iter().collect();
    for reads in 0..=6 {
        let (stable, requests) = recording_stable();
        let layer = layer(canary(reads, Failure::Panic), boxed());
        let body =
            frames([data("one "), data("two "), data("three"), Frame::trailers(trailers.clone())]);
        let service = layer.layer(stable);
        let response = service.oneshot(request(Method::PUT, body)).await.unwrap();
        assert_eq!(channel_of(&response), "stable", "{reads}");
        let received = requests.lock().unwrap().remove(0);
        assert_eq!(received.body, "one two three", "{reads}");
        assert_eq!(received.trailers.as_ref(), Some(&trailers), "{reads}");
    }
}

#[tokio::test]
async fn a_call_with_a_body_above_max_body_is_not_repeated() {
    for (max_body, channel) in [(9, "canary"), (10, "stable")] {
        for known in [false, true] {
            let fallback = boxed().max_body(max_body);
            let layer = layer(canary(2, Failure::Panic), fallback);
            let body = match known {
                true => full("tenletters"),
                false => frames([data("ten"), data("letters")]),
            };
            let service = layer.layer(stable());
            let response = service.oneshot(request(Method::PUT, body)).await.unwrap();
            assert_eq!(channel_of(&response), channel, "{max_body} {known}");
        }
    }
}

#[tokio::test]
async fn the_canary_reads_the_body_unchanged_above_max_body_as_well() {
    let canary = service_fn(|request: Request<Body>| async move {
        let body = request.into_body();
        let hint = (body.size_hint().exact(), body.is_end_stream());
        let bytes = body.collect().await?.to_bytes();
        Ok::<_, BoxError>(Response::new(Full::from(format!("{hint:?} {}", bytes.len()))))
    });
    for (body, expected) in [
        (empty(), "(Some(0), true) 0"),
        (full("abc"), "(Some(3), false) 3"),
        (frames((0..100).map(|_| data("0123456789"))), "(None, false) 1000"),
    ] {
        let layer = layer(canary, boxed().max_body(64));
        let service = layer.layer(stable());
        let response = service.oneshot(request(Method::PUT, body)).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected);
    }
}

#[tokio::test]
async fn the_repeated_body_has_the_length_of_the_original() {
    let hints = Arc::new(Mutex::new(Vec::new()));
    let stable = service_fn({
        let hints = Arc::clone(&hints);
        move |request: Request<Body>| {
            let body = request.body();
            hints.lock().unwrap().push((body.size_hint().exact(), body.is_end_stream()));
            std::future::ready(Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())))
        }
    });
    for reads in [0, 1, 2] {
        let layer = layer(canary(reads, Failure::Panic), boxed());
        let body = full("abc");
        let service = layer.layer(stable.clone());
        assert!(service.oneshot(request(Method::PUT, body)).await.is_ok());
    }
    assert_eq!(*hints.lock().unwrap(), [(Some(3), false); 3]);
}

#[tokio::test]
async fn a_request_whose_body_failed_is_not_repeated() {
    let layer = layer(canary(2, Failure::Panic), boxed());
    let body = ScriptedBody::new([Step::Data("half of it"), Step::Error]);
    let body = body.map_err(BoxError::from).boxed_unsync();
    let service = layer.layer(stable());
    let response = service.oneshot(request(Method::PUT, body)).await.unwrap();
    assert_eq!(channel_of(&response), "canary");
}

#[tokio::test]
async fn no_call_is_repeated_after_the_head_was_returned() {
    let (sender, receiver) = mpsc::unbounded_channel();
    // The canary keeps reading the request after it has responded.
    let canary = service_fn(move |request: Request<Body>| {
        sender.send(request.into_body()).unwrap();
        std::future::ready(Ok::<_, BoxError>(Response::new(Full::from("canary"))))
    });
    let layer = layer(canary, boxed());
    let body = frames((0..3).map(|_| data("0123456789")));
    let service = layer.layer(stable());
    let response = service.oneshot(request(Method::PUT, body)).await.unwrap();
    assert_eq!(channel_of(&response), "canary");
    drop(response);
    assert_eq!(fell_back(&layer.handle()), 0);
    let mut receiver = receiver;
    let body = receiver.recv().await.unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes().len(), 30);
}

#[tokio::test]
async fn a_task_of_the_canary_loses_the_body_when_stable_takes_over() {
    let (sender, mut tasks) = mpsc::unbounded_channel();
    let canary = service_fn(move |request: Request<Body>| {
        sender.send(tokio::spawn(request.into_body().collect())).unwrap();
        async {
            tokio::task::yield_now().await;
            Err::<Response<Full<Bytes>>, BoxError>("the canary fails".into())
        }
    });
    let (frame_sender, body) = channel_body();
    let (stable, requests) = recording_stable();
    let layer = layer(canary, boxed());
    let call = layer.layer(stable).oneshot(request(Method::PUT, body));
    frame_sender.send("one ").unwrap();
    let call = tokio::spawn(call);
    let orphan = tasks.recv().await.unwrap();
    // It gets an error, and reads no frame that stable needs.
    let error = orphan.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "stable took over the call from the canary");
    frame_sender.send("two").unwrap();
    drop(frame_sender);
    assert_eq!(channel_of(&call.await.unwrap().unwrap()), "stable");
    assert_eq!(requests.lock().unwrap()[0].body, "one two");
}

#[test]
fn the_repeated_call_waits_for_stable_whose_permit_was_free_during_the_canarys_call() {
    let layer = layer(canary(1, Failure::Panic), boxed());
    let handle = layer.handle();
    let (sender, body) = channel_body();
    let mut limited = ConcurrencyLimit::new(stable(), 1);
    let mut service = layer.layer(limited.clone());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut call = task::spawn(service.call(request(Method::PUT, body)));
    assert_pending!(call.poll());

    // The canary has the call, and another caller has the only permit of stable.
    assert!(limited.poll_ready(&mut cx).is_ready());
    sender.send("all of it").unwrap();
    drop(sender);
    assert_pending!(call.poll());
    let counts_now = counts(&handle);
    assert_eq!(
        [counts_now.evidence.canary.fell_back, counts_now.excluded.stable.in_flight()],
        [1, 1]
    );
    drop(limited);
    assert!(call.is_woken());
    assert_eq!(channel_of(&assert_ready_ok!(call.poll())), "stable");
}
