//! The metrics, in the exposition format of Prometheus.
//!
//! These tests are a separate binary because metrics are published for all canaries of the process.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;

use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, Channel, Rating, Weight, control::ControlExt,
    feedback::FeedbackOptions, metrics::buckets,
};

type Body = Empty<bytes::Bytes>;

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().set_buckets(&buckets()).unwrap().build_recorder()
}

/// Publishes the metrics of a canary and returns a scrape of the recorder.
fn scrape(recorder: &PrometheusRecorder, canary: &CanaryHandle) -> String {
    metrics::with_local_recorder(recorder, || canary.publish_metrics());
    let handle = recorder.handle();
    handle.run_upkeep();
    handle.render()
}

#[track_caller]
fn assert_series(scrape: &str, series: &str) {
    assert!(scrape.lines().any(|line| line == series), "no `{series}` in\n{scrape}");
}

fn respond(
    status: StatusCode,
) -> impl Service<Request<()>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    service_fn(move |_: Request<()>| async move {
        let mut response = Response::new(Body::new());
        *response.status_mut() = status;
        Ok(response)
    })
}

fn canary(name: &str) -> (CanaryHandle, impl AsyncFnMut(u32)) {
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options(name, respond(StatusCode::BAD_GATEWAY), options);
    let handle = layer.handle();
    let service = layer.layer(respond(StatusCode::OK));
    let call = async move |calls: u32| {
        for _ in 0..calls {
            service.clone().oneshot(Request::new(())).await.unwrap();
        }
    };
    (handle, call)
}

#[tokio::test]
async fn a_recorder_that_is_installed_before_the_canary_gets_every_call() {
    let recorder = recorder();
    let (handle, mut call) = metrics::with_local_recorder(&recorder, || canary("first"));
    call(3).await;
    handle.promote().unwrap();
    call(2).await;

    let scrape = scrape(&recorder, &handle);
    for series in [
        r#"canary_requests_total{canary="first",channel="stable",outcome="success"} 3"#,
        r#"canary_requests_total{canary="first",channel="canary",outcome="failure"} 2"#,
        r#"canary_assigned_total{canary="first",channel="stable",reason="random"} 3"#,
        r#"canary_request_duration_seconds_count{canary="first",channel="canary"} 2"#,
        r#"canary_response_head_seconds_count{canary="first",channel="stable"} 3"#,
        r#"canary_requests_in_flight{canary="first",channel="stable"} 0"#,
        r#"canary_weight_ratio{canary="first"} 1"#,
        r#"canary_share_ratio{canary="first"} 1"#,
        r#"canary_mode{canary="first",mode="promoted"} 1"#,
        r#"canary_mode{canary="first",mode="splitting"} 0"#,
        r#"canary_release_info{canary="first",channel="canary",release="v2"} 1"#,
    ] {
        assert_series(&scrape, series);
    }
}

#[tokio::test]
async fn a_recorder_that_is_installed_after_the_calls_gets_each_of_them_once() {
    let (handle, mut call) = canary("last");
    call(3).await;
    handle.publish_metrics(); // No recorder is installed yet.
    handle.promote().unwrap();
    call(2).await;

    let recorder = recorder();
    for _ in 0..2 {
        let scrape = scrape(&recorder, &handle);
        for series in [
            r#"canary_requests_total{canary="last",channel="stable",outcome="success"} 3"#,
            r#"canary_requests_total{canary="last",channel="canary",outcome="failure"} 2"#,
            r#"canary_request_duration_seconds_count{canary="last",channel="stable"} 3"#,
            r#"canary_request_duration_seconds_count{canary="last",channel="canary"} 2"#,
        ] {
            assert_series(&scrape, series);
        }
    }
}

#[test]
fn series_with_a_fixed_label_set_exist_before_the_first_call() {
    let recorder = recorder();
    let (handle, _) = canary("new");
    let scrape = scrape(&recorder, &handle);
    for channel in ["stable", "canary"] {
        for outcome in ["success", "failure", "cancelled"] {
            assert_series(
                &scrape,
                &format!(
                    r#"canary_requests_total{{canary="new",channel="{channel}",outcome="{outcome}"}} 0"#
                ),
            );
        }
        assert_series(
            &scrape,
            &format!(r#"canary_panics_total{{canary="new",channel="{channel}"}} 0"#),
        );
    }
    assert_series(&scrape, r#"canary_spilled_total{canary="new"} 0"#);
}

fn rated(name: &str) -> CanaryHandle {
    let feedback = FeedbackOptions::new().event("paid");
    let options = CanaryOptions::new().feedback(feedback);
    CanaryLayer::with_options(name, (), options).handle()
}

#[test]
fn ratings_have_all_series_from_the_start_and_continue_in_a_new_canary_with_the_name() {
    let recorder = recorder();
    let first = rated("rated");
    let text = scrape(&recorder, &first);
    for channel in ["stable", "canary"] {
        for rating in ["good", "bad"] {
            let labels = |more| {
                format!(r#"{{canary="rated",channel="{channel}",{more}rating="{rating}"}} 0"#)
            };
            assert_series(&text, &format!("canary_ratings_total{}", labels("")));
            let event = labels(r#"event="paid","#);
            assert_series(&text, &format!("canary_event_ratings_total{event}"));
        }
    }
    let rate_bad = |canary: &CanaryHandle| {
        canary.rate(Channel::Stable, Weight::ZERO, Rating::Bad).unwrap();
    };
    rate_bad(&first);
    scrape(&recorder, &first);
    drop(first);

    let second = rated("rated");
    rate_bad(&second);
    let series = r#"canary_ratings_total{canary="rated",channel="stable",rating="bad"} 2"#;
    assert_series(&scrape(&recorder, &second), series);
}

#[tokio::test]
async fn two_canaries_of_a_process_have_their_own_series() {
    let recorder = recorder();
    let (one, mut call_one) = canary("one");
    let (two, mut call_two) = canary("two");
    call_one(1).await;
    call_two(2).await;
    scrape(&recorder, &one);
    let scrape = scrape(&recorder, &two);
    for (name, calls) in [("one", 1), ("two", 2)] {
        assert_series(
            &scrape,
            &format!(
                r#"canary_assigned_total{{canary="{name}",channel="stable",reason="random"}} {calls}"#
            ),
        );
    }
}

#[tokio::test]
async fn counters_continue_in_a_new_canary_with_the_name() {
    let recorder = recorder();
    let (first, mut call) = canary("reloaded");
    call(5).await;
    scrape(&recorder, &first);
    drop((first, call));

    let (second, mut call) = canary("reloaded");
    call(2).await;
    let scrape = scrape(&recorder, &second);
    for series in [
        r#"canary_assigned_total{canary="reloaded",channel="stable",reason="random"} 7"#,
        r#"canary_request_duration_seconds_count{canary="reloaded",channel="stable"} 7"#,
    ] {
        assert_series(&scrape, series);
    }
}

#[test]
fn no_sample_is_above_the_edge_of_its_bucket() {
    let edges = buckets();
    assert!(edges.is_sorted());
    let samples =
        tower_canary::counts::LatencyBucket::all().map(|bucket| bucket.midpoint().as_secs_f64());
    for (edge, sample) in edges.iter().zip(samples) {
        assert!(sample <= *edge);
    }
}

/// An age that keeps growing shows that no controller makes decisions any more.
#[tokio::test]
async fn the_age_of_the_last_decision_grows_until_the_next() {
    let recorder = recorder();
    let (handle, _) = metrics::with_local_recorder(&recorder, || canary("decided"));
    let age = || {
        let scrape = scrape(&recorder, &handle);
        let series = r#"canary_decision_age_seconds{canary="decided"} "#;
        let line = scrape.lines().find_map(|line| line.strip_prefix(series));
        line.map(|age| age.parse::<f64>().unwrap())
    };
    assert_eq!(age(), None, "there is no decision yet");

    handle.note_decision();
    let (first, second) = (age().unwrap(), age().unwrap());
    assert!(0.0 <= first && first < second, "{first} {second}");
    let between = std::time::Instant::now();
    handle.note_decision();
    let third = age().unwrap();
    assert!(third <= between.elapsed().as_secs_f64(), "{third}");
}

#[tokio::test]
async fn open_calls_of_a_dropped_canary_do_not_stay_in_the_gauge() {
    let recorder = recorder();
    let replaced = || CanaryLayer::new("replaced", respond(StatusCode::OK));
    let scrape = metrics::with_local_recorder(&recorder, || {
        let layer = replaced();
        let call = layer.layer(respond(StatusCode::OK)).call(Request::new(()));
        layer.handle().publish_metrics();
        drop((call, layer));
        replaced().handle().publish_metrics();
        recorder.handle().render()
    });
    assert_series(&scrape, r#"canary_requests_in_flight{canary="replaced",channel="stable"} 0"#);
}
