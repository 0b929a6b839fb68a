//! A mirror inside a canary.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_canary::{
    Assignment, CanaryLayer, CanaryOptions, Channel, Rating, Weight, feedback::FeedbackOptions,
};
use tower_canary_mirror::{ErasedBody, MirrorLayer, MirrorOptions};

type Body = UnsyncBoxBody<Bytes, BoxError>;

#[tokio::test]
async fn ratings_of_mirrored_requests_do_not_count() {
    let service = service_fn(|request: Request<Body>| {
        let assignment = request.extensions().get::<Assignment>().unwrap();
        assignment.rate(Rating::Bad);
        assignment.rate_event("paid", Rating::Bad).unwrap();
        assert!(assignment.rate_event("payed", Rating::Bad).is_err());
        let body = Body::from_body(Full::from("same"));
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let options = MirrorOptions::new().share(Weight::FULL).noise_share(Weight::FULL);
    let mirror = MirrorLayer::with_options("shop", service, options);
    let options = CanaryOptions::new().feedback(FeedbackOptions::new().event("paid"));
    let layer = CanaryLayer::with_options("shop", service, options);
    let canary = layer.handle();
    // Stable serves the call, but the weight is one at which ratings of the canary would count.
    canary.set_weight("0.0001%".parse().unwrap()).unwrap();

    let request = Request::new(Body::from_body(Full::default()));
    let response = layer.layer(mirror.layer(service)).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["x-canary-channel"], "stable");
    response.into_body().collect().await.unwrap();
    while mirror.handle().counts().matched == 0 {
        tokio::task::yield_now().await;
    }

    let ratings = canary.counts().ratings;
    for rated in [&ratings.feedback, ratings.event("paid").unwrap()] {
        assert_eq!(rated.total(Channel::Stable).total, 1, "{rated:?}");
        assert_eq!(rated.total(Channel::Canary).total, 0, "{rated:?}");
    }
}
