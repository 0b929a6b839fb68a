//! The metrics, as Prometheus sees them.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "metrics")]

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

/// What a scrape of a process with this recorder says.
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
async fn a_recorder_installed_first_sees_every_call() {
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
        r#"canary_mode{canary="first",phase="promoted"} 1"#,
        r#"canary_mode{canary="first",phase="splitting"} 0"#,
        r#"canary_release_info{canary="first",channel="canary",release="v2"} 1"#,
    ] {
        assert_series(&scrape, series);
    }
}

#[tokio::test]
async fn a_recorder_installed_last_sees_every_call_too_and_none_twice() {
    let (handle, mut call) = canary("last");
    call(3).await;
    handle.publish_metrics(); // There is no recorder yet.
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
fn all_series_of_the_closed_set_exist_before_the_first_call() {
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
fn ratings_have_all_their_series_from_the_start_and_go_on_in_a_new_canary_of_the_name() {
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
    let complain = |canary: &CanaryHandle| {
        canary.rate(Channel::Stable, Weight::ZERO, Rating::Bad).unwrap();
    };
    complain(&first);
    scrape(&recorder, &first);
    drop(first);

    let second = rated("rated");
    complain(&second);
    let series = r#"canary_ratings_total{canary="rated",channel="stable",rating="bad"} 2"#;
    assert_series(&scrape(&recorder, &second), series);
}

#[tokio::test]
async fn two_canaries_of_a_process_are_told_apart() {
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
async fn a_canary_that_takes_over_a_name_counts_on() {
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
fn with_our_buckets_a_sample_is_below_the_edges_it_is_below() {
    let edges = buckets();
    assert!(edges.is_sorted());
    let samples = tower_canary::LatencyBucket::all().map(|bucket| bucket.midpoint().as_secs_f64());
    for (edge, sample) in edges.iter().zip(samples) {
        assert!(sample <= *edge);
    }
}

/// Whoever decides may be gone: then nobody takes the age back.
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
    assert_eq!(age(), None, "nobody has decided");

    handle.note_decision();
    let (first, second) = (age().unwrap(), age().unwrap());
    assert!(0.0 <= first && first < second, "{first} {second}");
    let between = std::time::Instant::now();
    handle.note_decision();
    let third = age().unwrap();
    assert!(third <= between.elapsed().as_secs_f64(), "{third}");
}
