//! The metrics of a mirror, as Prometheus renders them.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_canary::{
    Weight,
    metrics::{buckets, publish_all},
};
use tower_canary_mirror::{ErasedBody, MirrorLayer, MirrorOptions};

type Body = UnsyncBoxBody<Bytes, BoxError>;

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().set_buckets(&buckets()).unwrap().build_recorder()
}

fn scrape(recorder: &PrometheusRecorder) -> String {
    metrics::with_local_recorder(recorder, publish_all);
    let handle = recorder.handle();
    handle.run_upkeep();
    handle.render()
}

#[track_caller]
fn assert_series(scrape: &str, series: &str) {
    assert!(scrape.lines().any(|line| line == series), "no `{series}` in\n{scrape}");
}

/// Mirrors `calls` requests to a canary that responds differently.
async fn mirrored(name: &'static str, calls: u32) -> MirrorLayer<impl Clone + 'static> {
    let respond = |text: &'static str| {
        service_fn(move |_: Request<Body>| async move {
            Ok::<_, Infallible>(Response::new(Body::from_body(Full::from(text))))
        })
    };
    let options = MirrorOptions::new().share(Weight::FULL);
    let layer = MirrorLayer::with_options(name, respond("v2"), options);
    let service = layer.layer(respond("v1"));
    for _ in 0..calls {
        let request = Request::new(Body::from_body(Full::default()));
        let response = service.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    while layer.handle().counts().in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    layer
}

#[tokio::test]
async fn publish_all_of_tower_canary_publishes_every_series_of_a_mirror() {
    let recorder = recorder();
    let _layer = mirrored("mirrored", 3).await;
    let scrape = scrape(&recorder);
    for series in [
        r#"canary_mirrored_total{canary="mirrored",result="mismatched"} 3"#,
        r#"canary_mirrored_total{canary="mirrored",result="matched"} 0"#,
        r#"canary_mirror_dropped_total{canary="mirrored",reason="queue_full"} 0"#,
        r#"canary_mirror_in_flight{canary="mirrored"} 0"#,
        r#"canary_mirror_share_ratio{canary="mirrored"} 1"#,
        r#"canary_mirror_head_seconds_count{canary="mirrored",channel="stable"} 3"#,
        r#"canary_mirror_head_seconds_count{canary="mirrored",channel="canary"} 3"#,
    ] {
        assert_series(&scrape, series);
    }
}

#[tokio::test]
async fn a_new_mirror_continues_the_counters_of_a_dropped_one_with_its_name() {
    let recorder = recorder();
    let first = mirrored("succeeded", 2).await;
    scrape(&recorder);
    drop(first);
    let _second = mirrored("succeeded", 1).await;
    let scrape = scrape(&recorder);
    assert_series(&scrape, r#"canary_mirrored_total{canary="succeeded",result="mismatched"} 3"#);
    assert_series(
        &scrape,
        r#"canary_mirror_head_seconds_count{canary="succeeded",channel="canary"} 3"#,
    );
}
