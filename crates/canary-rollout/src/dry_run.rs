//! Forecasts of a plan's shortest duration.

use std::{error, fmt, time::Duration};

use canary_analysis::{Judge, Measure, Monitor, Role, Unit};
use canary_core::Weight;
use serde::Serialize;

use crate::{
    outlook::{Caught, Traffic},
    plan::definition::Plan,
    proof::Proof,
    serialize,
    span::rough,
};

/// A forecast of how long a plan takes at best. It prints as a table.
///
/// "At best" means that no more calls fail than on stable, gates open and probes pass at once, and the
/// calendar is always open. The forecast of the proof also assumes that the judge has watched stable for
/// eleven minutes before the rollout, as a controller that already runs does, and that stable has no
/// [outages of its own](canary_analysis::SecondProof). Half of the calls that exceed the quantile of a
/// monitor of slow calls are taken to exceed it by the monitor's excess. Cancelled calls, calls slower than a fixed limit,
/// feedback, events and classes of routes are not forecast, because their rates are unknown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DryRun {
    /// The steps, followed by the bake if the plan has one.
    pub steps: Vec<DryStep>,
    /// The time from the start to the end of the promotion.
    #[serde(with = "serialize::span")]
    pub total: Duration,
    /// The time from the start until a canary as good as stable is proven healthy with a
    /// probability of at least 95%: by the failures of all calls, and by the calls slower than stable's,
    /// after their warm-up. `None` without a failure rate,
    /// without a monitor that decides by these failures, without a step that needs proof, or if the
    /// proof takes longer than 30 days.
    #[serde(with = "serialize::maybe_span")]
    pub proven: Option<Duration>,
    /// The smallest regression that is caught before the promotion with a probability of at least
    /// 95%, by the failures of all calls. `None` without a failure rate, without a monitor that
    /// decides by these failures, or if even a canary that fails every call could be missed.
    pub caught: Option<Caught>,
    /// Warnings about the plan.
    pub warnings: Vec<String>,
}

/// One line of a [`DryRun`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DryStep {
    /// The weight.
    #[serde(with = "serialize::weight")]
    pub weight: Weight,
    /// The time at this weight.
    #[serde(with = "serialize::span")]
    pub takes: Duration,
    /// The condition that takes the longest.
    pub bound: Bound,
    /// The canary's calls during the step, rounded down.
    pub calls: u64,
    /// The gates at the end of the step.
    pub gates: Vec<String>,
}

/// The condition that determines how long a step takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bound {
    /// The plan's minimum duration.
    Time,
    /// The plan's minimum number of calls.
    Calls,
    /// The proof that the canary is healthy.
    Proof,
}

impl Plan {
    /// Forecasts how long the plan takes at best for a service with `calls_per_second`, counted on
    /// both channels.
    ///
    /// With a `failure_rate`, the fraction of calls that fail on stable, the forecast includes the
    /// time until the canary is proven healthy.
    ///
    /// # Errors
    ///
    /// Returns an error unless `calls_per_second` is above 0 and at most 10 million, and
    /// `failure_rate` is at least 0 and below 1.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use canary_rollout::{Plan, dry_run::Bound};
    ///
    /// let plan = Plan::from_toml(
    ///     "[[steps]]\nweight = '1%'\nmin_duration = '5m'\n\
    ///      [[steps]]\nweight = '50%'\nmin_duration = '10m'\n",
    /// )?;
    /// let dry_run = plan.dry_run(20.0, None)?;
    /// // 1% of 20 calls per second is one call every five seconds, and a step needs 100.
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
        if !(calls_per_second > 0.0 && calls_per_second <= MAX_CALLS) {
            return Err(DryRunError::Calls(calls_per_second));
        }
        if let Some(rate) = failure_rate.filter(|rate| !(0.0..1.0).contains(rate)) {
            return Err(DryRunError::Rate(rate));
        }
        if self.is_by_hand() {
            let warnings = vec!["the weight changes only by hand: there is no forecast".to_owned()];
            let (steps, total) = (Vec::new(), Duration::ZERO);
            return Ok(DryRun { steps, total, proven: None, caught: None, warnings });
        }
        let mut warnings = Vec::new();
        let mut steps: Vec<DryStep> = Vec::new();
        for (index, step) in self.steps().iter().enumerate() {
            let for_calls = time_for(step.min_calls, calls_per_second * step.weight.ratio());
            let (mut takes, mut bound) = (step.min_duration, Bound::Time);
            if for_calls > takes {
                (takes, bound) = (for_calls, Bound::Calls);
            }
            if let Some(deadline) = step.deadline.filter(|it| takes > *it) {
                let (takes, deadline) = (rough(takes), rough(deadline));
                let number = index + 1;
                warnings
                    .push(format!("step {number} takes {takes}, but its deadline is {deadline}"));
            }
            let (weight, gates) = (step.weight, step.gates.clone());
            steps.push(DryStep { weight, takes, bound, calls: 0, gates });
        }
        let proven = failure_rate
            .and_then(|rate| self.proven(&mut steps, &mut warnings, calls_per_second, rate));
        if failure_rate.is_some() && proven.is_none() {
            let is_watched = self.judge_monitors().iter().any(is_of_all_failures);
            warnings.push(if is_watched {
                "proving that the canary is healthy takes longer than a month".to_owned()
            } else {
                "no monitor decides by the failures of all calls: the time until the canary is proven \
                 healthy is unknown"
                    .to_owned()
            });
        }
        if let Some(rate) = failure_rate {
            warnings.extend(self.unseen_failures(rate));
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
            warnings.push(format!("an operator has to promote above {maximum}"));
        }
        let total = steps.iter().fold(Duration::ZERO, |sum, step| sum.saturating_add(step.takes));
        if self.deadline().is_some_and(|deadline| total > deadline) {
            warnings
                .push("the deadline of the whole rollout passes before the promotion".to_owned());
        }
        let path: Vec<_> = steps.iter().map(|step| (step.weight, step.takes)).collect();
        let traffic = Traffic { calls_per_second, failure_rate, unit: Unit::Calls };
        let caught = Caught::on(&path, &self.judge(), traffic);
        Ok(DryRun { steps, total, proven, caught, warnings })
    }

    /// Returns warnings about monitors of all failures that miss small harm, or that a canary as good
    /// as stable cannot pass, if stable fails at `rate`.
    fn unseen_failures(&self, rate: f64) -> Vec<String> {
        let percent = |rate: f64| (1e8 * rate).round() / 1e6;
        let monitors = self.judge_monitors();
        let of_failures = monitors.iter().filter(|monitor| is_of_all_failures(monitor));
        let warning = |monitor: &Monitor| {
            let (name, good) = (monitor.name(), monitor.margins().good().rate);
            let (rate_text, good_text) = (percent(rate), percent(good));
            match monitor.limit() {
                Some(limit) if rate > 0.8 * good => Some(format!(
                    "`{name}`: stable's {rate_text}% is not clearly below the limit of {limit}, so that \
                     a canary as good as stable is not proven healthy"
                )),
                None if rate * UNSEEN <= good => Some(format!(
                    "`{name}` calls a canary healthy that fails up to {good_text}% of calls, although \
                     stable fails {rate_text}%: to look for less, lower `margins.good.rate`, or add a \
                     monitor with `at_most`"
                )),
                _ => None,
            }
        };
        of_failures.filter_map(warning).collect()
    }

    /// Returns the time until the canary is proven healthy, and extends the steps that wait for it.
    fn proven(
        &self,
        steps: &mut [DryStep],
        warnings: &mut Vec<String>,
        calls_per_second: f64,
        rate: f64,
    ) -> Option<Duration> {
        let judge = self.judge();
        let proof = Proof::of(&judge, calls_per_second, rate)?;
        let deciding = judge.monitors().filter(|it| it.role() == Role::Decides);
        let deciding: Vec<_> = deciding.collect();
        let mut proven = None;
        for index in (0..steps.len()).filter(|index| self.needs_proof(*index)) {
            let path = steps[..=index]
                .iter()
                .enumerate()
                .map(|(at, step)| (step.weight, if at == index { MONTH } else { step.takes }));
            let path: Vec<_> = path.collect();
            let before: Duration = steps[..index].iter().map(|step| step.takes).sum();
            let without_proof_after = self.steps()[index].without_proof_after;
            let judging = deciding.iter().filter(|it| it.starting_step() <= path.len());
            let warm = judging.map(|it| it.warm_up()).max().unwrap_or_default();
            let until = proof.on(&path, |it, before| it.warm_up().saturating_sub(before));
            let until = until.map(|until| until.max(warm));
            proven = proven.or(until);
            let takes = until.map(|until| until.saturating_sub(before));
            let step = &mut steps[index];
            match without_proof_after.map(|after| after.max(step.takes)) {
                // The step does not wait for the proof.
                Some(time) if takes.is_none_or(|takes| takes > time) => {
                    if time > step.takes {
                        (step.takes, step.bound) = (time, Bound::Time);
                    }
                    let (number, time) = (index + 1, rough(time));
                    let needs = takes.map(|takes| format!(": the proof needs {}", rough(takes)));
                    let needs = needs.unwrap_or_default();
                    warnings
                        .push(format!("step {number} goes on without proof after {time}{needs}"));
                }
                _ => {
                    let takes = takes?;
                    if takes > step.takes {
                        (step.takes, step.bound) = (takes, Bound::Proof);
                    }
                }
            }
        }
        proven
    }
}

/// Returns the monitor that decides by the failures of all calls, if there is one: of several, the one
/// that judges first.
pub(crate) fn of_all_failures(judge: &Judge) -> Option<&Monitor> {
    let compares = |monitor: &&Monitor| is_of_all_failures(monitor) && monitor.limit().is_none();
    judge.monitors().filter(compares).min_by_key(|monitor| monitor.starting_step())
}

pub(crate) fn is_of_all_failures(monitor: &Monitor) -> bool {
    *monitor.measure() == Measure::Failures
        && monitor.class().is_none()
        && monitor.unit() == Unit::Calls
        && monitor.role() == Role::Decides
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
        write!(f, "total: {} at best", rough(self.total))?;
        if let Some(caught) = &self.caught {
            write!(f, "\ncaught before the promotion: {caught}")?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}

/// The error for traffic that is out of range. The message contains the value and the range.
#[derive(Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum DryRunError {
    /// The calls per second are out of range.
    Calls(f64),
    /// The failure rate is out of range.
    Rate(f64),
}

impl fmt::Display for DryRunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => {
                write!(f, "{calls} calls per second: expected above 0 and up to {MAX_CALLS}")
            }
            Self::Rate(rate) => write!(f, "failure rate {rate}: expected at least 0 and below 1"),
        }
    }
}

impl error::Error for DryRunError {}

canary_core::debug_as_display!(DryRunError);

/// Returns the time that these calls take, rounded up to a second.
pub(crate) fn time_for(calls: u64, per_second: f64) -> Duration {
    if calls == 0 {
        return Duration::ZERO;
    }
    let seconds = (float(calls) / per_second).ceil().min(MAX_SECONDS);
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most 10^7 calls a second in a thousand years, which is below 2^64, and not below 0"
)]
fn calls_in(time: Duration, per_second: f64) -> u64 {
    // 0.001 compensates for rounding: 0.1 times 10 must be 1.
    (time.as_secs_f64() * per_second + 0.001).floor() as u64
}

#[expect(clippy::cast_precision_loss, reason = "a forecast need not be exact")]
fn float(count: u64) -> f64 {
    count as f64
}

const MAX_CALLS: f64 = 1e7;

/// A margin that allows the canary this many times stable's failures is worth a warning.
const UNSEEN: f64 = 10.0;

/// A thousand years.
const MAX_SECONDS: f64 = 3.2e10;

pub(crate) const MONTH: Duration = Duration::from_secs(30 * 86_400);
