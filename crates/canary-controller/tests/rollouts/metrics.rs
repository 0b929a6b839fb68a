//! What Prometheus learns of a rollout.

#![expect(clippy::float_cmp, reason = "the values are small integers")]

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use canary_controller::{
    Controller, Managed, RolloutHandle, metrics::TABLE, store::testing::StoreFault,
};
use canary_rollout::{Actor, Command, Phase};
use http::{Request, Response};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{CanaryLayer, metrics::publish_all};

use crate::support::{
    clock, options, order, plan,
    stored::{TestStore, test_store},
};

const PLAN: &str = r#"
steps = [
    { weight = "0%", min_duration = "10s" },
    { weight = "50%", min_duration = "1h" },
]
monitors = [{ measure = "failures" }]
warm_up = "0s"
"#;

/// A rollout of a canary with a name of its own, because metrics are global to a process.
struct Metered {
    name: &'static str,
    layer: CanaryLayer<Service>,
    rollout: RolloutHandle,
    controller: Option<Controller>,
    store: TestStore,
    prometheus: PrometheusHandle,
    recorder: PrometheusRecorder,
}

type Service = tower::util::BoxCloneSyncService<Request<()>, Response<String>, Infallible>;

fn service(status: u16) -> Service {
    Service::new(service_fn(move |_| async move {
        Ok(Response::builder().status(status).body(String::new()).unwrap())
    }))
}

impl Metered {
    async fn new(name: &'static str) -> Self {
        let options = options().stable_release("v1").canary_release("v2");
        let layer = CanaryLayer::with_options(name, service(500), options);
        let store = test_store();
        let controller = Controller::new(store.clone()).clock(clock());
        let rollout = controller.add(Managed::new(layer.handle(), plan(PLAN))).unwrap();
        let recorder = PrometheusBuilder::new().build_recorder();
        let prometheus = recorder.handle();
        let controller = Some(controller);
        let metered = Self { name, layer, rollout, controller, store, prometheus, recorder };
        assert_eq!(metered.phase(), "not_loaded");
        metered.rollout.watch().wait_for(|it| it.load_error.is_none()).await.unwrap();
        metered
    }

    /// Returns what a scrape has, by series without the label `canary`.
    fn scrape(&self) -> BTreeMap<String, f64> {
        let text = self.text();
        let label = format!("canary=\"{}\"", self.name);
        let lines = text.lines().filter(|line| line.contains(&label));
        lines
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let series = series.replace(&format!("{label},"), "").replace(&label, "");
                (series.replace("{}", ""), value.parse().unwrap())
            })
            .collect()
    }

    fn text(&self) -> String {
        metrics::with_local_recorder(&self.recorder, publish_all);
        self.prometheus.render()
    }

    /// Returns the only label of this metric whose series is 1.
    fn state(&self, metric: &str) -> String {
        let scrape = self.scrape();
        let states = scrape.iter().filter(|(series, _)| series.starts_with(&format!("{metric}{{")));
        let set: Vec<_> = states.filter(|(_, value)| **value == 1.0).collect();
        let [(series, _)] = &set[..] else { panic!("expected one of {metric}, got {set:?}") };
        series.split('"').nth(1).unwrap().to_owned()
    }

    fn phase(&self) -> String {
        self.state("canary_rollout_phase")
    }

    fn value(&self, series: &str) -> f64 {
        *self.scrape().get(series).unwrap_or_else(|| panic!("no {series} in {}", self.text()))
    }

    async fn seconds(&self, seconds: u32, calls: u32) {
        for _ in 0..seconds {
            for _ in 0..calls {
                let split = self.layer.layer(service(200));
                let response = split.oneshot(Request::new(())).await.unwrap();
                http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_rollout_one_at_zero_and_a_rolled_back_one_differ() {
    let metered = Metered::new("metered").await;
    assert_eq!(metered.phase(), "idle");
    assert_eq!(metered.value("canary_rollout_attempt"), 0.0);
    assert_eq!(metered.value("canary_rollout_step"), 0.0);
    assert_eq!(metered.value("canary_rollout_steps"), 2.0);
    assert_eq!(metered.value("canary_rollout_driving"), 0.0);

    metered.rollout.start(Actor::person("ada"), "").await.unwrap();
    metered.seconds(2, 10).await;
    assert_eq!(metered.phase(), "running");
    assert_eq!(metered.value("canary_weight_ratio"), 0.0);
    assert_eq!(metered.value("canary_rollout_step"), 1.0);
    assert_eq!(metered.value("canary_rollout_attempt"), 1.0);
    assert_eq!(metered.value("canary_rollout_driving"), 1.0);
    assert_eq!(metered.state("canary_rollout_verdict"), "inconclusive");
    let harm = r#"canary_rollout_evidence_ratio{monitor="failures",direction="harm"}"#;
    assert!(metered.value(harm) < 0.1);

    while metered.value("canary_rollout_step") == 1.0 {
        metered.seconds(1, 0).await;
    }
    assert_eq!(metered.value("canary_rollout_step"), 2.0);
    metered.seconds(30, 4).await;
    assert_eq!(metered.rollout.status().rollout.phase(), Phase::RolledBack);
    assert_eq!(metered.phase(), "rolled_back");
    assert_eq!(metered.state("canary_rollout_verdict"), "degraded");
    assert_eq!(metered.value(harm), 1.0);
    assert_eq!(metered.value("canary_rollout_driving"), 0.0);
    assert_eq!(metered.value("canary_weight_ratio"), 0.0);

    let other = r#"
        steps = [{ weight = "10%" }]
        monitors = [{ measure = "cancelled" }]
    "#;
    metered.rollout.replace_plan(plan(other), Actor::person("ada"), "").await.unwrap();
    metered.rollout.start(Actor::person("ada"), "").await.unwrap();
    metered.seconds(1, 0).await;
    assert_eq!(metered.value("canary_rollout_attempt"), 2.0);
    assert_eq!(metered.value(harm), 0.0, "the plan no longer has this monitor");
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_is_a_metric_and_a_stopped_controller_drives_nothing() {
    let mut metered = Metered::new("metered-store").await;
    metered.rollout.start(Actor::person("ada"), "").await.unwrap();
    metered.seconds(2, 0).await;
    let write = |metric: &str| format!("{metric}{{operation=\"write\"}}");
    assert_eq!(metered.value(&write("canary_store_failing")), 0.0);
    assert_eq!(metered.value(&write("canary_store_failures_total")), 0.0);
    metered.store.fail_all(StoreFault::Unavailable);
    metered.rollout.command(order(Command::Pause)).await.unwrap();
    metered.seconds(90, 0).await;
    assert_eq!(metered.value(&write("canary_store_failing")), 1.0);
    assert!(metered.value(&write("canary_store_failing_seconds")) > 60.0);
    assert!(metered.value(&write("canary_store_failures_total")) > 10.0);
    assert_eq!(metered.value("canary_store_failing{operation=\"watch\"}"), 0.0);
    metered.store.recover();
    metered.seconds(3, 0).await;
    assert_eq!(metered.value(&write("canary_store_failing")), 0.0);
    assert_eq!(metered.value(&write("canary_store_failing_seconds")), 0.0);

    assert_eq!(metered.value("canary_rollout_driving"), 1.0);
    let text = metered.text();
    for metric in TABLE {
        let help = format!("# HELP {} {}", metric.name, metric.help);
        assert!(text.contains(&help), "expected {help:?}");
        let kind = format!("{:?}", metric.kind).to_lowercase();
        assert!(text.contains(&format!("# TYPE {} {kind}", metric.name)));
    }
    metered.controller.take().unwrap().stop().await;
    assert_eq!(metered.value("canary_rollout_driving"), 0.0);
    assert_eq!(metered.phase(), "paused", "it is as it was left");
}
