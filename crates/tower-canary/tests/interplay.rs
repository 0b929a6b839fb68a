//! What options mean for one another: testers and rollbacks, copies and ratings, cookies and fallbacks.
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{HeaderName, Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{
    Assignment, CanaryLayer, CanaryOptions, Channel,
    select::{Forced, Secret},
};

type Body = Full<bytes::Bytes>;

const FORCE: HeaderName = HeaderName::from_static("x-canary-force");
const SECRET: &str = "0b2f7c65a41d4f1e9c3d";

fn testers() -> Forced {
    Forced::by_header(FORCE, Secret::try_new(SECRET).unwrap())
}

fn forced() -> Request<Body> {
    Request::builder().header(FORCE, format!("canary:{SECRET}")).body(Body::default()).unwrap()
}

/// Streams of testers, who are at the canary whatever the weight.
#[tokio::test]
async fn a_rollback_at_weight_zero_asks_testers_streams_to_end_too() {
    let open = Arc::new(Mutex::new(Vec::<Assignment>::new()));
    let keep = Arc::clone(&open);
    let service = service_fn(move |request: Request<Body>| {
        let assignment = request.extensions().get::<Assignment>().unwrap().clone();
        keep.lock().unwrap().push(assignment);
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::from("stream"))))
    });
    let options = CanaryOptions::new().select(testers());
    let layer = CanaryLayer::with_options("shop", service.clone(), options);
    let canary = layer.handle();
    let service = layer.layer(service);
    let is_draining = |call: usize| open.lock().unwrap()[call].is_draining();

    let first = service.clone().oneshot(forced()).await.unwrap();
    assert_eq!(first.headers()["x-canary-channel"], "canary");
    assert!(!is_draining(0));
    canary.roll_back();
    assert!(is_draining(0));

    let second = service.clone().oneshot(forced()).await.unwrap();
    assert!(!is_draining(1), "who calls anew is not concerned");
    canary.roll_back();
    assert!(is_draining(1));
    drop((first, second));

    let epoch = || canary.counts().epochs.last().unwrap().epoch;
    let before = epoch();
    canary.roll_back();
    assert_eq!(epoch(), before, "with nothing open there is nothing to begin");
}

/// Each layer removes its own policy's header, before it knows of the layer inside.
#[tokio::test]
async fn of_two_canaries_the_outer_one_takes_the_testers_header_and_has_the_responses() {
    let service = service_fn(|request: Request<Body>| {
        assert!(!request.headers().contains_key(FORCE));
        let assignment = request.extensions().get::<Assignment>().unwrap();
        assert_eq!((assignment.canary(), assignment.channel()), ("inner", Channel::Stable));
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::default())))
    });
    let options = || CanaryOptions::new().select(testers());
    let inner = CanaryLayer::with_options("inner", service, options());
    let split = inner.layer(service);
    let outer = CanaryLayer::with_options("outer", split.clone(), options());
    let answer = outer.layer(split).oneshot(forced()).await.unwrap();
    assert_eq!(answer.headers()["x-canary-channel"], "canary");
    assert_eq!(outer.handle().counts().total().excluded.canary.picked, 1);
    let inner = inner.handle().counts().total();
    assert_eq!((inner.evidence.stable.picked, inner.excluded.canary.picked), (1, 0));
}

#[cfg(feature = "cookie")]
#[tokio::test]
async fn a_call_that_falls_back_gets_its_cookie_once() {
    use http::{StatusCode, header};
    use tower_canary::{
        Fallback,
        select::{IssuedCookie, Sticky},
    };

    let status = |status| {
        service_fn(move |_: Request<Body>| {
            let mut response = Response::new(Body::default());
            *response.status_mut() = status;
            std::future::ready(Ok::<_, Infallible>(response))
        })
    };
    let options = CanaryOptions::new()
        .select(Sticky::by_issued(IssuedCookie::new("id")))
        .fallback(Fallback::of_clones::<Body>());
    let failing = status(StatusCode::INTERNAL_SERVER_ERROR);
    let layer = CanaryLayer::with_options("shop", failing, options);
    // At full weight nothing falls back. Of a million runs, one fails by chance, as below.
    layer.handle().set_weight("99.9999%".parse().unwrap()).unwrap();
    let answer = layer.layer(status(StatusCode::OK)).oneshot(Request::new(Body::default()));
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(layer.handle().counts().total().excluded.stable.picked, 1, "it fell back");
    assert_eq!(answer.headers().get_all(header::SET_COOKIE).iter().count(), 1);
}
