//! `ChannelFilter` of `tower-canary` recognizes mirrored requests.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_canary::{Channel, PerChannel, Weight, logs::ChannelFilter};
use tower_canary_mirror::{ErasedBody, MirrorLayer, MirrorOptions};
use tracing_subscriber::{fmt, prelude::*};

type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A log file, in memory.
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

/// Mirrored requests are the only log of the canary while stable serves every call.
#[tokio::test]
async fn the_log_of_each_channel_has_the_events_of_its_mirrored_requests() {
    let logs = PerChannel::from_fn(|_| File::default());
    let layers = Channel::ALL.map(|channel| {
        let file = logs[channel].clone();
        let layer = fmt::layer().with_ansi(false).with_writer(move || file.clone());
        layer.with_filter(ChannelFilter::only(channel))
    });
    tracing_subscriber::registry().with(Vec::from(layers)).init();

    let respond = |version: &'static str| {
        service_fn(move |_: Request<Body>| async move {
            tracing::info!("{version}");
            Ok::<_, Infallible>(Response::new(Body::from_body(Full::from("same"))))
        })
    };
    let options = MirrorOptions::new().share(Weight::FULL).noise_share(Weight::FULL);
    let mirror = MirrorLayer::with_options("shop", respond("v2"), options);
    let request = Request::new(Body::from_body(Full::default()));
    let response = mirror.layer(respond("v1")).oneshot(request).await.unwrap();
    response.into_body().collect().await.unwrap();
    while mirror.handle().counts().matched == 0 {
        tokio::task::yield_now().await;
    }

    for (channel, version) in [(Channel::Stable, "v1"), (Channel::Canary, "v2")] {
        let log = String::from_utf8(logs[channel].0.lock().unwrap().clone()).unwrap();
        let [line] = &log.lines().collect::<Vec<_>>()[..] else { panic!("{channel}: {log}") };
        assert!(line.ends_with(version), "{channel}: {line}");
        assert!(line.contains("mirrored=true"), "{channel}: {line}");
    }
}
