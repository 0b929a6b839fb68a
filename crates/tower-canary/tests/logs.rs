//! `ChannelFilter`: the log of a channel has the events of its calls, and no others.
//!
//! These tests are a separate binary because they install a global subscriber.
#![cfg(feature = "tracing-subscriber")]
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    io,
    sync::{Arc, LazyLock, Mutex},
};

use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{
    Assignment, CanaryLayer, CanaryOptions, Channel, PerChannel, Tags, Weight, logs::ChannelFilter,
};
use tracing::{Instrument, Span, Subscriber};
use tracing_subscriber::{
    filter::{FilterExt, LevelFilter},
    fmt::{self, format::FmtSpan},
    prelude::*,
    registry::LookupSpan,
};

/// A log file in memory.
#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl io::Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The logs of all tests, which share one subscriber. A subscriber that is installed while other
/// threads log can miss events.
static LOGS: LazyLock<PerChannel<File>> = LazyLock::new(|| {
    let logs = PerChannel::from_fn(|_| File::default());
    tracing_subscriber::registry()
        .with(log_of(Channel::Stable, &logs))
        .with(log_of(Channel::Canary, &logs))
        .init();
    logs
});

fn log_of<S>(channel: Channel, logs: &PerChannel<File>) -> impl tracing_subscriber::Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let file = logs[channel].clone();
    fmt::layer()
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || file.clone())
        .with_filter(ChannelFilter::only(channel).and(LevelFilter::INFO))
}

/// Returns the lines of the calls of a canary.
fn lines_of(canary: &str) -> PerChannel<Vec<String>> {
    let canary = format!(r#"canary="{canary}""#);
    PerChannel::from_fn(|channel| {
        let log = String::from_utf8(LOGS[channel].0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| line.contains(&canary)).map(str::to_owned).collect()
    })
}

#[tokio::test]
async fn events_of_a_call_are_in_the_log_of_its_channel_on_any_thread() {
    LazyLock::force(&LOGS);
    let respond = service_fn(|_: Request<()>| async {
        tracing::info!("handler");
        tracing::debug!("too detailed");
        let call = Span::current();
        let below = tracing::info_span!("below");
        let tasks = [
            tokio::spawn(async { tracing::info!("task") }.in_current_span()),
            // In a child of the call's span, which is not entered itself.
            tokio::spawn(async { tracing::info!("task below") }.instrument(below)),
            tokio::task::spawn_blocking(move || tracing::info!(parent: &call, "other thread")),
            tokio::spawn(async { tracing::info!("stray") }),
        ];
        for task in tasks {
            task.await.unwrap();
        }
        let frames = futures_util::stream::once(async {
            tracing::info!("body");
            Ok::<_, Infallible>(http_body::Frame::data(bytes::Bytes::from("x")))
        });
        Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(frames))))
    });
    for channel in Channel::ALL {
        let name = format!("on-{channel}");
        let layer = CanaryLayer::new(&*name, respond);
        let weight = if channel == Channel::Canary { Weight::FULL } else { Weight::ZERO };
        layer.handle().set_weight(weight).unwrap();
        let response = layer.layer(respond).oneshot(Request::new(())).await.unwrap();
        response.into_body().collect().await.unwrap();

        let mut lines = lines_of(&name);
        let own = std::mem::take(&mut lines[channel]);
        assert_eq!(lines, PerChannel::default(), "the log of the other channel must have no lines");
        for message in ["handler", "task", "task below", "other thread", "body"] {
            let found = own.iter().filter(|line| line.ends_with(&format!(": {message}"))).count();
            assert_eq!(found, 1, "{message}: {own:#?}");
        }
        assert_eq!(own.iter().filter(|line| line.contains("close time.busy")).count(), 2);
        assert_eq!(own.len(), 7, "{own:#?}");
    }
}

#[tokio::test]
async fn a_call_is_in_the_log_of_stable_after_it_spilled() {
    LazyLock::force(&LOGS);
    let stable = service_fn(|_: Request<()>| async {
        tracing::info!("handler");
        Ok::<_, tower::BoxError>(Response::new(String::new()))
    });
    let never_ready = tower_test::mock::pair::<Request<()>, Response<String>>().0;
    let layer = CanaryLayer::new("spilled", never_ready);
    layer.handle().set_weight(Weight::from_ppm(999_999)).unwrap();
    layer.layer(stable).oneshot(Request::new(())).await.unwrap();

    let lines = lines_of("spilled");
    let [handler, _close] = &lines.stable[..] else { panic!("{lines:#?}") };
    assert!(handler.contains(r#"channel="stable" reason="spilled""#), "{handler}");
    let [close] = &lines.canary[..] else { panic!("{lines:#?}") };
    assert!(close.contains(r#"channel="canary" reason="random""#), "{close}");
}

#[tokio::test]
async fn events_around_a_call_are_in_no_log_and_their_span_is_shown_in_the_calls_events() {
    LazyLock::force(&LOGS);
    let respond = service_fn(|_: Request<()>| async {
        tracing::info!("handler");
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let layer = CanaryLayer::new("around", respond);
    let call = async {
        tracing::info!("before");
        layer.layer(respond).oneshot(Request::new(())).await.unwrap();
        tracing::info!("after");
    };
    call.instrument(tracing::info_span!("around", canary = "around", id = 7)).await;

    let is_event = |line: &&String| !line.contains("close time.busy");
    let lines = lines_of("around");
    let [handler] = &lines.stable.iter().filter(is_event).collect::<Vec<_>>()[..] else {
        panic!("{lines:#?}")
    };
    assert!(handler.contains(r#"around{canary="around" id=7}:call{"#), "{handler}");
    assert_eq!(lines.canary.iter().filter(is_event).count(), 0, "{lines:#?}");
}

#[tokio::test]
async fn events_of_an_outer_layer_are_filtered_by_their_own_fields() {
    LazyLock::force(&LOGS);
    let respond =
        service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let options = CanaryOptions::new().tags(Tags::default().response_extension());
    let layer = CanaryLayer::with_options("outer", respond, options);
    let outer = layer.layer(respond).map_response(|response| {
        let assignment: &Assignment = response.extensions().get().unwrap();
        let (canary, channel) = (assignment.canary(), assignment.channel());
        tracing::info!(canary, channel = channel.as_str(), "as text");
        tracing::info!(canary, %channel, "by display");
        tracing::info!(channel = channel.as_str(), "without a canary field canary=\"outer\"");
        tracing::info!(canary, channel = "general", "not a channel of the canary");
        response
    });
    for weight in [Weight::ZERO, Weight::FULL] {
        layer.handle().set_weight(weight).unwrap();
        outer.clone().oneshot(Request::new(())).await.unwrap();
    }
    let lines = lines_of("outer");
    for channel in Channel::ALL {
        let [close, as_text, by_display] = &lines[channel][..] else { panic!("{lines:#?}") };
        assert!(close.contains("close time.busy"), "{close}");
        assert!(as_text.contains("as text"), "{as_text}");
        assert!(by_display.contains("by display"), "{by_display}");
    }
}
