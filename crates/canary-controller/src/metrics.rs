//! The metrics of rollouts.
//!
//! [`tower_canary::metrics::publish_all`] and [`Publisher`](tower_canary::metrics::Publisher) publish the
//! rollouts of all controllers of the process together with the canaries. That module describes
//! recorders and the uniqueness of names.
//!
//! | metric | labels | value |
//! |---|---|---|
//! | `canary_rollout_phase` | `phase` | 1 for the current phase, else 0. The phases are `idle`, `starting`, `running`, `paused`, `ramping_down`, `baking`, `promoted`, `rolled_back`, `halted`, and `not_loaded` until the stored rollout is loaded |
//! | `canary_rollout_step` | | the current step from 1, 0 outside of steps |
//! | `canary_rollout_steps` | | the number of steps of the plan |
//! | `canary_rollout_attempt` | | the number of starts |
//! | `canary_rollout_verdict` | `verdict` | 1 for the latest verdict, else 0: `healthy`, `degraded` or `inconclusive` |
//! | `canary_rollout_evidence_ratio` | `monitor`, `direction` | the evidence of a monitor on the scale of its threshold: 1 is proof that the canary is worse (`harm`) or good enough (`good`). Monitors that the plan no longer has are 0 |
//! | `canary_rollout_driving` | | 1 if this process drives the rollout |
//! | `canary_rollout_replicas` | `state` | the replicas that the driver hears (`heard`), and those that are silent (`silent`); 0 while no rollout is in progress |
//! | `canary_store_failing` | `operation` | 1 if the operation fails now: `read`, `write`, `watch` or `history` |
//! | `canary_store_failing_seconds` | `operation` | the time since it fails, else 0 |
//! | `canary_store_failures_total` | `operation` | the number of failures |
//!
//! All of them have the label `canary` too. The names of monitors come from plans; no client can add one.
//! The directory `examples/grafana` has a dashboard with these metrics, and alert rules.
//!
//! ```
//! use canary_controller::{Controller, Managed, Plan, store::MemoryStore};
//! use metrics_exporter_prometheus::PrometheusBuilder;
//! use tower_canary::{CanaryLayer, CanaryOptions, metrics::publish_all};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let prometheus = PrometheusBuilder::new().install_recorder()?;
//! # let v2 = ();
//! let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
//! let layer = CanaryLayer::with_options("shop", v2, options);
//! let controller = Controller::new(MemoryStore::new());
//! let rollout = controller.add(Managed::new(layer.handle(), Plan::by_hand()))?;
//! let metrics = move || {
//!     publish_all();
//!     prometheus.run_upkeep();
//!     prometheus.render()
//! };
//! assert!(metrics().contains(r#"canary_rollout_phase{canary="shop",phase="idle"}"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
};

use canary_core::{CanaryName, Verdict};
use canary_rollout::{Phase, state::Stage};
use tokio::sync::watch;
use tower_canary::{
    internal::{Writer, add_publisher, published_to},
    metrics::{Metric, MetricKind},
};

use crate::{status::Status, store::StoreOperation};

/// All metrics of a rollout.
pub const TABLE: &[Metric] = &[
    PHASE,
    STEP,
    STEPS,
    ATTEMPT,
    VERDICT,
    EVIDENCE,
    DRIVING,
    REPLICAS,
    STORE_FAILING,
    STORE_FAILING_SECONDS,
    STORE_FAILURES,
];

/// Makes `publish_all` of `tower-canary` publish the status of a rollout.
pub(crate) fn register(name: CanaryName, status: watch::Receiver<Arc<Status>>) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| add_publisher(publish_all));
    let mut all = series();
    let before = all.remove(&name);
    let (monitors, recorders) = before.map(|it| (it.monitors, it.recorders)).unwrap_or_default();
    all.insert(name, Series { status, monitors, recorders });
}

fn publish_all() {
    for (name, series) in &mut *series() {
        series.publish(name);
    }
}

/// Returns the published rollouts, by name.
fn series() -> MutexGuard<'static, BTreeMap<CanaryName, Series>> {
    static SERIES: Mutex<BTreeMap<CanaryName, Series>> = Mutex::new(BTreeMap::new());
    SERIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The series with the name of one canary.
struct Series {
    status: watch::Receiver<Arc<Status>>,
    /// The monitors that have series.
    monitors: BTreeSet<String>,
    /// The recorders that have the descriptions, by their address.
    recorders: Vec<(usize, ())>,
}

impl Series {
    fn publish(&mut self, name: &CanaryName) {
        // The driver has the sender.
        let is_stopped = self.status.has_changed().is_err();
        let status = Arc::clone(&self.status.borrow());
        metrics::with_recorder(|recorder| {
            let writer = Writer { recorder, name: name.as_str() };
            published_to(&mut self.recorders, recorder, || writer.describe(TABLE));
            write_rollout(&writer, &status);
            writer.set(&DRIVING, &[], flag(status.is_driving && !is_stopped));
            write_fleet(&writer, &status);
            write_evidence(&writer, &status, &mut self.monitors);
            write_store(&writer, &status);
        });
    }
}

fn write_rollout(writer: &Writer<'_>, status: &Status) {
    let rollout = &status.rollout;
    let is_loaded = status.load_error.is_none();
    for phase in Phase::ALL {
        let label = phase.as_str().replace(' ', "_");
        writer.set(&PHASE, &[&label], flag(is_loaded && rollout.phase() == phase));
    }
    writer.set(&PHASE, &["not_loaded"], flag(!is_loaded));
    let step = match rollout.state().stage() {
        Some(Stage::Step { step }) => step.saturating_add(1),
        _ => 0,
    };
    writer.set(&STEP, &[], number(step));
    writer.set(&STEPS, &[], number(rollout.plan().steps().len()));
    writer.set(&ATTEMPT, &[], number(usize::try_from(rollout.attempt()).unwrap_or(usize::MAX)));
    for (label, verdict) in [
        ("healthy", Verdict::Healthy),
        ("degraded", Verdict::Degraded),
        ("inconclusive", Verdict::Inconclusive),
    ] {
        writer.set(&VERDICT, &[label], flag(status.judgment.verdict == verdict));
    }
}

fn write_evidence(writer: &Writer<'_>, status: &Status, monitors: &mut BTreeSet<String>) {
    let findings = &status.judgment.findings;
    // A recorder cannot forget a series.
    for gone in monitors.iter().filter(|name| findings.iter().all(|it| it.monitor != **name)) {
        writer.set(&EVIDENCE, &[gone, "harm"], 0.0);
        writer.set(&EVIDENCE, &[gone, "good"], 0.0);
    }
    for finding in findings {
        let name = finding.monitor.as_str();
        writer.set(&EVIDENCE, &[name, "harm"], finding.worse.progress());
        let good = finding.good.as_ref().map_or(0.0, |good| good.progress());
        writer.set(&EVIDENCE, &[name, "good"], good);
        monitors.insert(name.to_owned());
    }
}

fn write_fleet(writer: &Writer<'_>, status: &Status) {
    let fleet = status.fleet.as_ref();
    for (label, replicas) in [
        ("heard", fleet.map(|fleet| fleet.heard)),
        ("silent", fleet.map(|fleet| fleet.silent.len())),
    ] {
        writer.set(&REPLICAS, &[label], number(replicas.unwrap_or(0)));
    }
}

fn write_store(writer: &Writer<'_>, status: &Status) {
    for operation in StoreOperation::ALL {
        let label = [operation.as_str()];
        let failing = status.store_failures.iter().find(|it| it.operation == operation);
        writer.set(&STORE_FAILING, &label, flag(failing.is_some()));
        let time = failing.map(|it| status.at.since(it.since)).unwrap_or_default();
        writer.set(&STORE_FAILING_SECONDS, &label, time.as_secs_f64());
        let total = status.store_failure_totals.get(&operation).copied().unwrap_or(0);
        writer.count(&STORE_FAILURES, &label, total);
    }
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

fn number(value: usize) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

const PHASE: Metric = Metric {
    name: "canary_rollout_phase",
    kind: MetricKind::Gauge,
    unit: "state",
    labels: &["canary", "phase"],
    help: "1 for the phase of the rollout, such as idle, running, rolled_back, or not_loaded without the stored rollout",
};
const STEP: Metric = Metric {
    name: "canary_rollout_step",
    kind: MetricKind::Gauge,
    unit: "steps",
    labels: &["canary"],
    help: "The current step of the plan, from 1; 0 outside of steps",
};
const STEPS: Metric = Metric {
    name: "canary_rollout_steps",
    kind: MetricKind::Gauge,
    unit: "steps",
    labels: &["canary"],
    help: "The number of steps of the plan",
};
const ATTEMPT: Metric = Metric {
    name: "canary_rollout_attempt",
    kind: MetricKind::Gauge,
    unit: "starts",
    labels: &["canary"],
    help: "The number of starts of the rollout",
};
const VERDICT: Metric = Metric {
    name: "canary_rollout_verdict",
    kind: MetricKind::Gauge,
    unit: "state",
    labels: &["canary", "verdict"],
    help: "1 for the latest verdict of the judge: healthy, degraded or inconclusive",
};
const EVIDENCE: Metric = Metric {
    name: "canary_rollout_evidence_ratio",
    kind: MetricKind::Gauge,
    unit: "ratio",
    labels: &["canary", "monitor", "direction"],
    help: "The evidence of a monitor on the scale of its threshold, for harm and for good; 1 is proof",
};
const DRIVING: Metric = Metric {
    name: "canary_rollout_driving",
    kind: MetricKind::Gauge,
    unit: "state",
    labels: &["canary"],
    help: "1 if this process drives the rollout: it judges, and advances the plan",
};
const REPLICAS: Metric = Metric {
    name: "canary_rollout_replicas",
    kind: MetricKind::Gauge,
    unit: "replicas",
    labels: &["canary", "state"],
    help: "The replicas of the rollout that the driver hears, and the silent ones; 0 while no rollout is in progress",
};
const STORE_FAILING: Metric = Metric {
    name: "canary_store_failing",
    kind: MetricKind::Gauge,
    unit: "state",
    labels: &["canary", "operation"],
    help: "1 if the operation on the store fails now: read, write, watch or history",
};
const STORE_FAILING_SECONDS: Metric = Metric {
    name: "canary_store_failing_seconds",
    kind: MetricKind::Gauge,
    unit: "seconds",
    labels: &["canary", "operation"],
    help: "Time since the operation on the store fails, else 0",
};
const STORE_FAILURES: Metric = Metric {
    name: "canary_store_failures_total",
    kind: MetricKind::Counter,
    unit: "failures",
    labels: &["canary", "operation"],
    help: "Failed operations on the store",
};
