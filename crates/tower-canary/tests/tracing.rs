//! Spans and events carry the canary, the channel and the release.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{CanaryLayer, CanaryOptions, Weight};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, SubscriberExt},
    registry::{LookupSpan, Registry},
};

/// Writes down each event, with the spans it is in.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> tracing_subscriber::Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields(String::new());
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields(String::new());
        event.record(&mut line);
        for span in context.event_scope(event).into_iter().flatten() {
            line.0 += &span.extensions().get::<Fields>().unwrap().0;
        }
        self.0.lock().unwrap().push(line.0);
    }
}

#[tokio::test]
async fn what_handlers_and_bodies_log_is_told_apart_by_channel_and_release() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(Registry::default().with(log.clone()));
    let respond = service_fn(|_: Request<()>| async {
        tracing::info!("in the handler");
        let frames = futures_util::stream::once(async {
            tracing::info!("in the body");
            Ok::<_, Infallible>(http_body::Frame::data(bytes::Bytes::from("x")))
        });
        Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(frames))))
    });
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options("logged", respond, options);
    let handle = layer.handle();
    let service = layer.layer(respond);
    for (weight, channel, release) in
        [(Weight::ZERO, "stable", "v1"), (Weight::FULL, "canary", "v2")]
    {
        handle.set_weight(weight).unwrap();
        log.0.lock().unwrap().clear();
        let response = service.clone().oneshot(Request::new(())).await.unwrap();
        response.into_body().collect().await.unwrap();
        let lines = log.0.lock().unwrap().clone();
        assert_eq!(lines.len(), 2, "{lines:?}");
        for line in lines {
            for field in [
                r#"canary="logged""#.to_owned(),
                format!(r#"channel="{channel}""#),
                format!(r#"release="{release}""#),
            ] {
                assert!(line.contains(&field), "no {field} in {line}");
            }
        }
    }
}

#[tokio::test]
async fn what_stable_logs_of_a_spilled_call_is_stables() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(Registry::default().with(log.clone()));
    let respond = |text: &'static str| {
        service_fn(move |_: Request<()>| async move {
            tracing::info!("{text}");
            Ok::<_, Infallible>(Response::new(String::new()))
        })
    };
    // A limit of none is never ready.
    let canary = tower::limit::ConcurrencyLimit::new(respond("canary"), 0);
    let layer = CanaryLayer::new("spilled", canary);
    layer.handle().set_weight(Weight::from_ppm(999_999)).unwrap();
    log.0.lock().unwrap().clear();
    layer.layer(respond("served")).oneshot(Request::new(())).await.unwrap();
    let lines = log.0.lock().unwrap().clone();
    assert!(lines[0].contains("served") && lines[0].contains(r#"channel="stable""#), "{lines:?}");
}

#[test]
fn a_change_of_the_weight_is_an_event() {
    let log = Log::default();
    let respond =
        service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let canary = CanaryLayer::new("changed", respond).handle();
    tracing::subscriber::with_default(Registry::default().with(log.clone()), || {
        canary.set_weight(Weight::from_percent(5)).unwrap();
        canary.halt("bad totals");
    });
    let lines = log.0.lock().unwrap().clone();
    assert!(lines[0].contains("weight=5%") && lines[0].contains("set the weight"), "{lines:?}");
    assert!(lines[1].contains("bad totals") && lines[1].contains("halted"), "{lines:?}");
}

#[test]
fn a_change_that_the_halt_refuses_is_no_event() {
    let log = Log::default();
    let respond =
        service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let canary = CanaryLayer::new("refused", respond).handle();
    canary.halt("bad totals");
    tracing::subscriber::with_default(Registry::default().with(log.clone()), || {
        canary.set_weight(Weight::from_percent(5)).unwrap_err();
        canary.promote().unwrap_err();
    });
    assert_eq!(*log.0.lock().unwrap(), [""; 0]);
}
