//! Forecasts how long a plan takes at best.

use std::{error, fmt, time::Duration};

use canary_analysis::{Forecast, Measure, Monitor, Role};
use canary_core::Weight;
use serde::Serialize;

use crate::{
    plan::{AdvanceWhen, definition::Plan},
    serialize,
    span::rough,
};

/// How long a plan takes at best, to be asked before it is started.
///
/// At best: nothing goes wrong, gates open and probes pass at once, and the calendar is open. It prints
/// as a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DryRun {
    /// The steps in their order, and the bake, if there is one.
    pub steps: Vec<DryStep>,
    /// How long until the promotion is over.
    #[serde(with = "serialize::span")]
    pub total: Duration,
    /// When a canary that is as good as stable is proven so, with a probability of 95 % at least; none
    /// if the plan is over before, or no rate of failures was given.
    ///
    /// It is counted from the start, for the failures of all calls, on the way that the plan takes at
    /// best.
    #[serde(with = "serialize::maybe_span")]
    pub proven: Option<Duration>,
    /// What is to be said about the plan.
    pub warnings: Vec<String>,
}

/// One line of a [`DryRun`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DryStep {
    /// The weight.
    #[serde(with = "serialize::weight")]
    pub weight: Weight,
    /// How long it is kept at best.
    #[serde(with = "serialize::span")]
    pub takes: Duration,
    /// What takes so long.
    pub bound: Bound,
    /// The canary's calls in that time, rounded down.
    pub calls: u64,
    /// The gates that are asked before the step is left.
    pub gates: Vec<String>,
}

/// What determines how long a step takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bound {
    /// The least time that the plan says.
    Time,
    /// The calls that the plan says.
    Calls,
    /// The proof that the canary is healthy.
    Proof,
}

impl Plan {
    /// How long the plan takes at best, for a service of `calls_per_second`.
    ///
    /// If `failure_rate`, the part of calls that fails on stable, is given as well, the proof that the
    /// promotion waits for is looked at, too.
    ///
    /// # Errors
    ///
    /// If the calls are not above 0 and at most 10 million a second, or the rate is not at least 0 and
    /// below 1.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use canary_rollout::{Plan, dry_run::Bound};
    ///
    /// let plan = Plan::from_toml(
    ///     "steps = [{ weight = '1%', min_duration = '5m' }, { weight = '50%', min_duration = '10m' }]",
    /// )?;
    /// let dry_run = plan.dry_run(20.0, None)?;
    /// // 1% of 20 calls a second is one in five seconds, and the plan wants a hundred.
    /// assert_eq!(dry_run.steps[0].takes, Duration::from_secs(500));
    /// assert_eq!(dry_run.steps[0].bound, Bound::Calls);
    /// assert_eq!(dry_run.total, Duration::from_secs(500 + 600));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dry_run(
        &self,
        calls_per_second: f64,
        failure_rate: Option<f64>,
    ) -> Result<DryRun, DryRunError> {
        if !(calls_per_second > 0.0 && calls_per_second <= MOST_CALLS) {
            return Err(DryRunError::Calls(calls_per_second));
        }
        if let Some(rate) = failure_rate.filter(|rate| !(0.0..1.0).contains(rate)) {
            return Err(DryRunError::Rate(rate));
        }
        let mut warnings = Vec::new();
        let mut steps: Vec<DryStep> = Vec::new();
        for (index, step) in self.steps().iter().enumerate() {
            let of_calls = seconds_of(step.min_calls, calls_per_second * step.weight.ratio());
            let (mut takes, mut bound) = (step.min_duration, Bound::Time);
            if of_calls > takes {
                (takes, bound) = (of_calls, Bound::Calls);
            }
            if takes > step.deadline {
                let (takes, deadline) = (rough(takes), rough(step.deadline));
                let number = index + 1;
                warnings.push(format!(
                    "step {number} needs {takes}, and its deadline is over after {deadline}"
                ));
            }
            let (weight, gates) = (step.weight, step.gates.clone());
            steps.push(DryStep { weight, takes, bound, calls: 0, gates });
        }
        let proven = failure_rate.and_then(|rate| self.proven(&mut steps, calls_per_second, rate));
        if failure_rate.is_some() && proven.is_none() {
            let is_watched = failures_of_all_calls(&self.judge_monitors()).is_some();
            warnings.push(if is_watched {
                "the proof that the canary is healthy takes longer than a month".to_owned()
            } else {
                "no monitor decides by the failures of all calls: when the canary is proven healthy \
                 is not known"
                    .to_owned()
            });
        }
        if let Some(bake) = self.bake() {
            let weight = Weight::from_ppm(Weight::FULL.ppm() - bake.holdback.ppm());
            let (takes, bound, gates) = (bake.duration, Bound::Time, Vec::new());
            steps.push(DryStep { weight, takes, bound, calls: 0, gates });
        }
        for step in &mut steps {
            step.calls = calls_in(step.takes, calls_per_second * step.weight.ratio());
        }
        if self.max_weight() < Weight::FULL {
            let maximum = self.max_weight();
            warnings.push(format!("above {maximum} it waits for a person, who promotes"));
        }
        let total = steps.iter().fold(Duration::ZERO, |sum, step| sum.saturating_add(step.takes));
        if self.deadline().is_some_and(|deadline| total > deadline) {
            warnings.push("the deadline of the whole rollout is over before".to_owned());
        }
        Ok(DryRun { steps, total, proven, warnings })
    }

    /// When the canary is proven healthy; steps that wait for it are made as long as that takes.
    fn proven(&self, steps: &mut [DryStep], calls_per_second: f64, rate: f64) -> Option<Duration> {
        let monitors = self.judge_monitors();
        let deciding = monitors.iter().filter(|monitor| monitor.role() == Role::Decides).count();
        let margins = failures_of_all_calls(&monitors)?.margins();
        let mut proven = None;
        for index in 0..steps.len() {
            let is_last = index + 1 == steps.len() && self.max_weight() == Weight::FULL;
            if !is_last && self.steps()[index].advance_when == AdvanceWhen::NotDegraded {
                continue;
            }
            let path = steps[..=index]
                .iter()
                .enumerate()
                .map(|(at, step)| (step.weight, if at == index { MONTH } else { step.takes }));
            let path: Vec<_> = path.collect();
            let before: Duration = steps[..index].iter().map(|step| step.takes).sum();
            let levels = self.levels();
            let forecast =
                Forecast::try_new(calls_per_second, rate, path, margins, levels, deciding).ok()?;
            let until = forecast.until_proven()?;
            let takes = until.saturating_sub(before);
            if takes > steps[index].takes {
                (steps[index].takes, steps[index].bound) = (takes, Bound::Proof);
            }
            proven = proven.or(Some(until));
        }
        proven
    }
}

fn failures_of_all_calls(monitors: &[Monitor]) -> Option<&Monitor> {
    monitors.iter().find(|monitor| {
        *monitor.measure() == Measure::Failures
            && monitor.class().is_none()
            && monitor.role() == Role::Decides
    })
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>4}  {:>8}  {:>10}  {:>12}  bound by", "step", "weight", "takes", "calls")?;
        for (index, step) in self.steps.iter().enumerate() {
            let DryStep { weight, takes, bound, calls, gates } = step;
            let bound = match bound {
                Bound::Time => "time",
                Bound::Calls => "calls",
                Bound::Proof => "proof",
            };
            let (takes, calls) = (rough(*takes), crate::text::grouped(*calls));
            write!(f, "{:>4}  {weight:>8}  {takes:>10}  {calls:>12}  {bound}", index + 1)?;
            if !gates.is_empty() {
                write!(f, ", then {}", gates.join(" and "))?;
            }
            writeln!(f)?;
        }
        write!(f, "in all {} at best", rough(self.total))?;
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}

/// Traffic for which nothing can be said. The message names the number and its range.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum DryRunError {
    /// So many calls a second.
    Calls(f64),
    /// Such a rate of failures.
    Rate(f64),
}

impl fmt::Display for DryRunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => {
                write!(f, "{calls} calls per second: expected above 0 and up to {MOST_CALLS}")
            }
            Self::Rate(rate) => write!(f, "failure rate {rate}: expected at least 0 and below 1"),
        }
    }
}

impl error::Error for DryRunError {}

/// How long so many calls take, rounded up to the second.
fn seconds_of(calls: u64, per_second: f64) -> Duration {
    let seconds = (float(calls) / per_second).ceil().min(LONGEST);
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 10^7 calls a second in a thousand years, which is below 2^64, and not below 0"
)]
fn calls_in(time: Duration, per_second: f64) -> u64 {
    // A thousandth of a call more, since 0.1 times 10 must be 1.
    (time.as_secs_f64() * per_second + 0.001).floor() as u64
}

#[expect(clippy::cast_precision_loss, reason = "a forecast is no count")]
fn float(count: u64) -> f64 {
    count as f64
}

const MOST_CALLS: f64 = 1e7;

/// A thousand years: what takes longer takes for ever.
const LONGEST: f64 = 3.2e10;

const MONTH: Duration = Duration::from_secs(30 * 86_400);
