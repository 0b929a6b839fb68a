use std::time::Duration;

use canary_core::{PerChannel, Verdict, Weight};

use crate::{
    rules::{self, Judged, RollbackRule},
    schedule::Schedule,
    second::Second,
    study::Study,
    summary::{Median, Summary},
    traffic::{LogNormal, Traffic},
};

/// A kind of traffic, and a figure with its target.
pub(super) struct Row {
    name: String,
    traffic: Traffic,
    schedule: Schedule,
    plan: &'static str,
    figure: Figure,
    target: f64,
}

/// What is measured.
#[derive(Clone, Copy)]
pub(super) enum Figure {
    /// The percentage of rollouts that are rolled back.
    RolledBack,
    /// The percentage of rollouts in which the canary is healthy at some time.
    EverHealthy,
    /// The percentage of rollouts in which a healthy verdict is taken back.
    TakenBack,
    /// The median number of canary calls until the rollback.
    CallsUntilRollback,
    /// The median number of seconds until the rollback.
    SecondsUntilRollback,
    /// The median number of seconds until the canary is healthy.
    SecondsUntilHealthy,
}

/// The latency of both channels. Without any, a default plan is never healthy, because it watches
/// slow calls too.
pub(super) const LATENCY: LogNormal = LogNormal { median: Duration::from_millis(20), sigma: 0.5 };

/// A preset with the default monitors.
const DEFAULT: &str = "preset = 'Canary10Percent5Minutes'";

impl Row {
    /// Creates a row for an hour at 1, 5, 10, 25 and 50 %, judged by a default plan.
    pub(super) fn new(name: &str, traffic: Traffic, figure: Figure, target: f64) -> Self {
        let (name, schedule) = (name.to_owned(), Schedule::hour());
        let traffic = traffic.or_latency(PerChannel { stable: LATENCY, canary: LATENCY });
        Self { name, traffic, schedule, plan: DEFAULT, figure, target }
    }

    /// Sets one weight for the whole rollout.
    pub(super) fn at(mut self, percent: u32, seconds: u32) -> Self {
        self.schedule = Schedule::new([(Weight::from_percent(percent), seconds)]);
        self
    }

    /// Sets the plan, in TOML.
    pub(super) const fn judged_by(mut self, plan: &'static str) -> Self {
        self.plan = plan;
        self
    }

    /// Returns the cells of the row.
    pub(super) fn measure(&self, runs: u32) -> [String; 4] {
        let study = Study::new(self.traffic.clone(), self.schedule.clone(), runs).with_seed(77);
        let judge = || rules::plan(self.plan);
        let summary = match self.figure {
            Figure::TakenBack => study.run(|| TakenBack { judge: judge(), is_healthy: false }),
            _ => study.run(judge),
        };
        let unit = self.figure.unit();
        let (measured, met) = match self.figure.of(&summary) {
            Some((value, error)) => {
                (format!("{value:.1} ± {error:.1}{unit}"), self.is_met(value, error))
            }
            None => ("never".to_owned(), "no"),
        };
        [self.name.clone(), measured, format!("{}{unit}", self.target), met.to_owned()]
    }

    fn is_met(&self, value: f64, error: f64) -> &'static str {
        if value <= self.target {
            "yes"
        } else if value <= self.target + 2.0 * error {
            "within two errors"
        } else {
            "no"
        }
    }
}

impl Figure {
    const fn unit(self) -> &'static str {
        match self {
            Self::RolledBack | Self::EverHealthy | Self::TakenBack => " %",
            Self::CallsUntilRollback => " calls",
            Self::SecondsUntilRollback | Self::SecondsUntilHealthy => " s",
        }
    }

    /// Returns the figure and its standard error. A median is `None` unless most rollouts have it.
    fn of(self, summary: &Summary) -> Option<(f64, f64)> {
        let percent = |rate| Some((100.0 * rate, 100.0 * summary.error_of(rate)));
        let median = |part: f64, median: Option<Median>| {
            median.filter(|_| part > 0.5).map(|median| (median.median, median.error))
        };
        match self {
            Self::RolledBack | Self::TakenBack => percent(summary.rate()),
            Self::EverHealthy => percent(summary.proven_rate()),
            Self::CallsUntilRollback => median(summary.rate(), summary.calls_until_rollback()),
            Self::SecondsUntilRollback => median(summary.rate(), summary.seconds_until_rollback()),
            Self::SecondsUntilHealthy => {
                median(summary.proven_rate(), summary.seconds_until_proof())
            }
        }
    }
}

/// Rolls back when a healthy verdict is taken back without harm, to count these rollouts.
struct TakenBack {
    judge: Judged,
    is_healthy: bool,
}

impl RollbackRule for TakenBack {
    fn look(&mut self, second: &Second) -> Verdict {
        let verdict = self.judge.look(second);
        let was_healthy = std::mem::replace(&mut self.is_healthy, verdict == Verdict::Healthy);
        match verdict {
            Verdict::Inconclusive if was_healthy => Verdict::Degraded,
            _ => Verdict::Inconclusive,
        }
    }
}
