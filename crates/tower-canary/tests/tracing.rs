//! Spans and events have the canary, the channel and the release as fields.
//!
//! These tests are a separate binary because they install a global subscriber.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    error::Error,
    fmt::Write as _,
    sync::{LazyLock, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{CanaryHandle, CanaryLayer, CanaryOptions, Fallback, Weight};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, SubscriberExt},
    registry::{LookupSpan, Registry},
};

/// Records each event together with the fields of its spans.
struct Log;

/// All tests share one subscriber. A subscriber that is installed while other threads log can miss
/// events.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static SUBSCRIBER: LazyLock<()> = LazyLock::new(|| {
    tracing::subscriber::set_global_default(Registry::default().with(Log)).unwrap();
});

/// Returns the recorded events of a canary.
fn lines_of(canary: &str) -> Vec<String> {
    let canary = format!(r#"canary="{canary}""#);
    LINES.lock().unwrap().iter().filter(|line| line.contains(&canary)).cloned().collect()
}

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
        LINES.lock().unwrap().push(line.0);
    }
}

#[tokio::test]
async fn events_of_handlers_and_bodies_have_the_channel_reason_and_release() {
    LazyLock::force(&SUBSCRIBER);
    let respond = service_fn(|_: Request<()>| async {
        tracing::info!("in the handler");
        let frames = futures_util::stream::once(async {
            tracing::info!("in the body");
            Ok::<_, Infallible>(http_body::Frame::data(Bytes::from("x")))
        });
        Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(frames))))
    });
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options("logged", respond, options);
    let service = layer.layer(respond);
    for (weight, fields) in [
        (Weight::ZERO, r#"channel="stable" reason="random" release="v1""#),
        (Weight::FULL, r#"channel="canary" reason="random" release="v2""#),
    ] {
        layer.handle().set_weight(weight).unwrap();
        let response = service.clone().oneshot(Request::new(())).await.unwrap();
        response.into_body().collect().await.unwrap();
        for text in ["in the handler", "in the body"] {
            let lines = lines_of("logged");
            let found = lines.iter().filter(|line| line.contains(text) && line.contains(fields));
            assert_eq!(found.count(), 1, "{text} of {fields} in {lines:?}");
        }
    }
}

#[tokio::test]
async fn events_of_stable_in_a_spilled_call_have_stable_as_channel() {
    LazyLock::force(&SUBSCRIBER);
    let respond = |text: &'static str| {
        service_fn(move |_: Request<()>| async move {
            tracing::info!("{text}");
            Ok::<_, Infallible>(Response::new(String::new()))
        })
    };
    // With a limit of zero, the canary is never ready.
    let canary = tower::limit::ConcurrencyLimit::new(respond("canary"), 0);
    let layer = CanaryLayer::new("spilled", canary);
    layer.handle().set_weight(Weight::from_ppm(999_999)).unwrap();
    layer.layer(respond("served")).oneshot(Request::new(())).await.unwrap();
    let lines = lines_of("spilled");
    let served = lines.iter().find(|line| line.contains("served")).unwrap();
    assert!(served.contains(r#"channel="stable""#), "{served}");
}

fn canary(name: &str) -> CanaryHandle {
    LazyLock::force(&SUBSCRIBER);
    let respond =
        service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    CanaryLayer::new(name, respond).handle()
}

#[test]
fn a_change_of_the_weight_is_logged() {
    let canary = canary("changed");
    canary.set_weight(Weight::from_percent(5)).unwrap();
    canary.halt("bad totals");
    let lines = lines_of("changed");
    assert!(lines[0].contains("weight=5%") && lines[0].contains("set the weight"), "{lines:?}");
    assert!(lines[1].contains("bad totals") && lines[1].contains("halted"), "{lines:?}");
}

#[test]
fn a_change_that_a_halt_refuses_is_not_logged() {
    let canary = canary("refused");
    canary.halt("bad totals");
    canary.set_weight(Weight::from_percent(5)).unwrap_err();
    canary.promote().unwrap_err();
    assert_eq!(lines_of("refused").len(), 1, "only the halt itself is logged");
}

#[tokio::test]
async fn a_fallback_for_another_type_of_request_body_is_logged_once() {
    LazyLock::force(&SUBSCRIBER);
    let respond =
        service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let options = CanaryOptions::new().fallback(Fallback::of_clones::<String>());
    let service = CanaryLayer::with_options("mismatch", respond, options).layer(respond);
    for _ in 0..3 {
        service.clone().oneshot(Request::new(())).await.unwrap();
    }
    let [line] = &lines_of("mismatch")[..] else { panic!("the warning is logged once") };
    assert!(line.contains("alloc::string::String") && line.contains("with a ()"), "{line}");
}

#[tokio::test]
async fn a_fallback_for_another_type_than_that_of_a_boxed_layer_is_logged_once() {
    type Boxed = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;
    LazyLock::force(&SUBSCRIBER);
    let echo = service_fn(|request: Request<Boxed>| async {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    for (name, fallback, warnings) in [
        ("boxed-mismatch", Fallback::of_clones::<String>(), 1),
        ("boxed", Fallback::new::<Boxed>(|body| body.boxed_unsync()), 0),
    ] {
        let options = CanaryOptions::new().fallback(fallback);
        let service = CanaryLayer::with_options(name, echo, options).boxed().layer(echo);
        for _ in 0..3 {
            let request = Request::new(Full::new(Bytes::from("text")));
            service.clone().oneshot(request).await.unwrap();
        }
        let lines = lines_of(name);
        assert_eq!(lines.len(), warnings, "{lines:?}");
        assert!(lines.iter().all(|line| line.contains("create it for this type")), "{lines:?}");
    }
}
