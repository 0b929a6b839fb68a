//! What users would assemble from other crates: a split, a header with the name of the channel, and
//! metrics of each call.

use std::{
    convert::Infallible,
    fmt::Debug,
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum_prometheus::{EndpointLabel, PrometheusMetricLayer, PrometheusMetricLayerBuilder};
use http::{HeaderValue, Request, Response};
use http_body::Body;
use tower::{Layer, Service, ServiceBuilder};
use tower_canary::{Channel, Tags};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_resilience_router::WeightedRouter;

use crate::cases::{Case, Inner, plain, serve};

pub(crate) const CASES: &[Case] = &[
    Case { name: "router, header", prepare: || serve(tagged(Inner::EMPTY), plain()) },
    Case { name: "router, header, body", prepare: || serve(tagged(Inner::WITH_BODY), plain()) },
    Case { name: "assembled", prepare: || serve(assembled(Inner::EMPTY), plain()) },
    Case { name: "assembled, body", prepare: || serve(assembled(Inner::WITH_BODY), plain()) },
];

/// Splits and tags. Nothing is recorded.
fn tagged(inner: Inner) -> impl Serving {
    route(move |channel| tag(channel).layer(inner.clone()))
}

/// Also records the number of calls, their status, their times and the calls in flight. One process
/// has one prefix of names, so that the channels share these metrics.
fn assembled(inner: Inner) -> impl Serving {
    route(move |channel| {
        ServiceBuilder::new().layer(metrics()).layer(tag(channel)).service(inner.clone())
    })
}

fn route<S, B>(release: impl Fn(Channel) -> S) -> impl Serving
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + Sync + 'static,
    B: Body + 'static,
{
    let router = WeightedRouter::builder()
        .route(release(Channel::Stable), 95)
        .route(release(Channel::Canary), 5);
    router.random().build()
}

fn tag(channel: Channel) -> SetResponseHeaderLayer<HeaderValue> {
    let value = HeaderValue::from_static(channel.as_str());
    SetResponseHeaderLayer::overriding(Tags::CHANNEL_HEADER, value)
}

fn metrics() -> PrometheusMetricLayer<'static> {
    let one_path = |_: &str| "other".to_owned();
    PrometheusMetricLayerBuilder::new()
        .with_endpoint_label_type(EndpointLabel::MatchedPathWithFallbackFn(one_path))
        .build()
}

/// Asserts that the measured services tag their responses.
pub(crate) fn check() {
    assert_tagged(tagged(Inner::EMPTY));
    assert_tagged(assembled(Inner::EMPTY));
}

fn assert_tagged(mut service: impl Serving) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let Poll::Ready(Ok(response)) = pin!(service.call(plain())).poll(&mut cx) else {
        panic!("the service responds at once");
    };
    assert!(response.headers().contains_key(Tags::CHANNEL_HEADER));
}

/// What [`serve`] measures.
trait Serving: Service<Request<()>, Response = Response<Self::Body>, Error: Debug> + 'static {
    type Body: Body;
}

impl<S, B> Serving for S
where
    S: Service<Request<()>, Response = Response<B>, Error: Debug> + 'static,
    B: Body,
{
    type Body = B;
}
