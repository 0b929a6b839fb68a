//! Forecasts of the proof that a canary is healthy.

use std::time::Duration;

use canary_analysis::{Judge, Monitor, Role, Unit};
use canary_core::Weight;

use crate::dry_run::{is_of_all_failures, of_all_failures};

/// The monitors of a judge that have to call the canary healthy, and of which stable's rate is known:
/// the failures of all calls, and calls slower than a quantile of stable's.
pub(crate) struct Proof<'a> {
    judge: &'a Judge,
    calls_per_second: f64,
    /// Each with stable's rate.
    monitors: Vec<(&'a Monitor, f64)>,
}

impl<'a> Proof<'a> {
    /// Returns `None` if no monitor decides by the failures of all calls, counted by calls.
    pub(crate) fn of(judge: &'a Judge, calls_per_second: f64, failure_rate: f64) -> Option<Self> {
        of_all_failures(judge)?;
        let rate = |monitor: &'a Monitor| {
            let of_failures = is_of_all_failures(monitor).then_some(failure_rate);
            of_failures.or(slow_rate(monitor)).map(|rate| (monitor, rate))
        };
        let of_all_calls = judge.monitors().filter(|monitor| {
            let is_compared = monitor.limit().is_none() && monitor.class().is_none();
            is_compared && monitor.role() == Role::Decides && monitor.unit() == Unit::Calls
        });
        let monitors = of_all_calls.filter_map(rate).collect();
        Some(Self { judge, calls_per_second, monitors })
    }

    /// Returns the time until a canary as good as stable is proven healthy on this path of weights and
    /// durations, with a probability of at least 95%. `None` if it takes longer than the path, or no
    /// monitor judges on it.
    ///
    /// The path has a part for each step. A monitor does not count the calls before its step, nor those
    /// of its warm-up, of which `warm_up` returns the rest after the time before its step.
    pub(crate) fn on(
        &self,
        path: &[(Weight, Duration)],
        warm_up: impl Fn(&Monitor, Duration) -> Duration,
    ) -> Option<Duration> {
        let until = |(monitor, rate): &(&Monitor, f64)| {
            let (before, path) = path.split_at(monitor.starting_step() - 1);
            let before = before.iter().map(|(_, takes)| *takes).sum();
            let path = path.iter().copied();
            let forecast =
                self.judge.forecast(monitor.name(), self.calls_per_second, *rate, path)?;
            Some(before + forecast.ok()?.until_proven()? + warm_up(monitor, before))
        };
        let judging = self.monitors.iter().filter(|(it, _)| it.starting_step() <= path.len());
        let all: Option<Vec<Duration>> = judging.map(until).collect();
        all?.into_iter().max()
    }
}

/// Returns the fraction of slow calls of a canary as fast as stable, if the limit is a quantile of
/// stable's calls. Its calls are slow only if they exceed the quantile by an excess, and with the default
/// excess, a third to two thirds of those beyond the quantile do (log-normal latencies with a sigma of
/// 0.5 to 1.5).
fn slow_rate(monitor: &Monitor) -> Option<f64> {
    monitor.rate_by_definition().map(|rate| 0.5 * rate)
}
