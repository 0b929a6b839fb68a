use std::time::Duration;

use canary_core::{PerChannel, Weight};

use crate::{
    evidence::{Evidence, RatioPrior},
    judge::Judge,
    levels::Levels,
    log_space::float,
    margins::Margins,
    split_ratio::SplitRatio,
};

pub use self::error::ForecastError;
use self::luck::{Luck, Parts, TAIL, quantile, whole};

mod error;
mod luck;

/// Predicts how long a plan takes to detect a regression, and to prove a good canary.
///
/// # Method
///
/// For each moment of the plan, the numbers of adverse events are set to unlucky quantiles of
/// Poisson distributions: few events on the canary, many on stable. With a probability of at least
/// 95 %, the real numbers are no worse. If the evidence suffices even then, the regression is
/// detected by that moment with a probability of at least 95 %. For the proof that a canary is
/// good, the opposite quantiles are used. No random numbers are involved.
///
/// # Assumptions
///
/// A forecast is about one monitor, whose calls count from the first one on: add its
/// [warm-up](crate::Monitor::warm_up). A judge calls a canary healthy if all its monitors do. Rates are
/// constant, and no channel has [outages of its own](crate::SecondProof): where stable has them, harm
/// is detected later.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use canary_analysis::{Forecast, Levels, Monitor};
/// use canary_core::Weight;
///
/// let plan = [1, 5, 10, 25, 50]
///     .map(|percent| (Weight::from_percent(percent), Duration::from_secs(720)));
/// let margins = Monitor::failures().margins();
/// let forecast = Forecast::try_new(50.0, 0.01, plan, margins, Levels::default(), 1)?;
///
/// assert!(forecast.until_caught(5.0).unwrap() < Duration::from_secs(15 * 60));
/// assert!(forecast.until_total_failure_caught().unwrap() < Duration::from_secs(60));
/// assert!(forecast.until_proven().unwrap() < Duration::from_secs(45 * 60));
/// // An hour is not enough to detect a small regression.
/// assert_eq!(forecast.until_caught(1.05), None);
/// # Ok::<(), canary_analysis::error::ForecastError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Forecast {
    calls_per_second: f64,
    base_rate: f64,
    plan: Vec<(Weight, Duration)>,
    margins: Margins,
    levels: Levels,
    /// The log e-value at which the canary is called degraded.
    worse_threshold: f64,
}

impl Forecast {
    /// Creates a forecast for one of `deciding` monitors with equal parts of `alpha`, of a service with
    /// `calls_per_second` and a fraction `base_rate` of adverse calls. The plan is a list of weights and
    /// their durations.
    ///
    /// [`Judge::forecast`] has the margins and thresholds of a judge.
    ///
    /// # Errors
    ///
    /// Returns an error if `calls_per_second` is not above 0 and at most 10^9, `base_rate` is not
    /// at least 0 and below 1, or the plan is empty or longer than a year.
    pub fn try_new(
        calls_per_second: f64,
        base_rate: f64,
        plan: impl IntoIterator<Item = (Weight, Duration)>,
        margins: Margins,
        levels: Levels,
        deciding: usize,
    ) -> Result<Self, ForecastError> {
        let plan: Vec<_> = plan.into_iter().collect();
        if !(calls_per_second > 0.0 && calls_per_second <= MOST_CALLS) {
            return Err(ForecastError::Calls(calls_per_second));
        }
        if !(0.0..1.0).contains(&base_rate) {
            return Err(ForecastError::Rate(base_rate));
        }
        let lasts = plan.iter().try_fold(Duration::ZERO, |sum, (_, step)| sum.checked_add(*step));
        let lasts = lasts.filter(|lasts| !lasts.is_zero() && *lasts <= YEAR);
        lasts.ok_or(ForecastError::Plan)?;
        let part = 1.0 / float(u64::try_from(deciding.max(1)).unwrap_or(u64::MAX));
        let worse_threshold = levels.worse_threshold(part);
        Ok(Self { calls_per_second, base_rate, plan, margins, levels, worse_threshold })
    }

    /// Returns the time until a canary with `factor` times the adverse rate of stable is called
    /// degraded with a probability of at least 95 %, or `None` if the plan ends before.
    ///
    /// The canary's rate is capped at 1. With a base rate of 0 there is nothing to detect.
    #[must_use]
    pub fn until_caught(&self, factor: f64) -> Option<Duration> {
        self.until_worse((self.base_rate * factor.max(0.0)).min(1.0))
    }

    /// Returns the time until a canary that fails every call is called degraded, as above.
    #[must_use]
    pub fn until_total_failure_caught(&self) -> Option<Duration> {
        self.until_worse(1.0)
    }

    /// Returns the time until a canary as good as stable is called healthy, as above.
    ///
    /// The usual rate is taken as known, see [`Baseline`](crate::Baseline): without it, a proof that
    /// compares the canary with stable waits for eleven minutes.
    #[must_use]
    pub fn until_proven(&self) -> Option<Duration> {
        let threshold = self.levels.good_threshold();
        self.first(|at| {
            let unlucky = self.evidence(at, self.base_rate, Luck::AgainstTheCanary);
            unlucky.log_e_good() >= threshold && unlucky.calls().canary > 0
        })
    }

    /// Returns the smallest adverse rate of the canary that is called degraded by the end of the plan
    /// with a probability of at least 95 %, or `None` if even a canary that fails every call could
    /// be missed.
    #[must_use]
    pub fn smallest_caught(&self) -> Option<f64> {
        let end = self.plan.iter().map(|(_, lasts)| *lasts).sum();
        let is_caught = |rate| {
            self.evidence(end, rate, Luck::ForTheCanary).log_e_worse() >= self.worse_threshold
        };
        let (mut missed, mut caught) = (self.base_rate, 1.0);
        if !is_caught(caught) {
            return None;
        }
        while caught - missed > RATE_PRECISION * caught {
            let middle = f64::midpoint(missed, caught);
            if is_caught(middle) { caught = middle } else { missed = middle }
        }
        Some(caught)
    }

    fn until_worse(&self, rate: f64) -> Option<Duration> {
        let threshold = self.worse_threshold;
        self.first(|at| self.evidence(at, rate, Luck::ForTheCanary).log_e_worse() >= threshold)
    }

    /// Returns the evidence after `at` for a canary with this rate, at the quantiles of `luck`.
    fn evidence(&self, at: Duration, rate: f64, luck: Luck) -> Evidence {
        let (few, many) = (TAIL, 1.0 - TAIL);
        let (of_canary, of_stable) = match luck {
            Luck::ForTheCanary => (few, many),
            Luck::AgainstTheCanary => (many, few),
        };
        let steps = self.calls_until(at);
        let all = |of: fn(&PerChannel<f64>) -> f64| steps.iter().map(|(_, calls)| of(calls)).sum();
        let (canary, stable): (f64, f64) = (all(|calls| calls.canary), all(|calls| calls.stable));
        let adverse = quantile(canary * rate, of_canary);
        let stable_adverse = quantile(stable * self.base_rate, of_stable);
        // Good calls hardly affect the evidence for worse, so their expected number suffices there.
        let good = match luck {
            Luck::ForTheCanary => (canary * (1.0 - rate)).round(),
            Luck::AgainstTheCanary => quantile(canary * (1.0 - rate), few),
        };

        let mut evidence = Evidence::with_prior(self.margins, RatioPrior::Tuned);
        let (mut from_canary, mut from_stable) = (Parts::of(adverse), Parts::of(stable_adverse));
        for (weight, calls) in &steps {
            let events = PerChannel {
                stable: from_stable.next(calls.stable / stable),
                canary: from_canary.next(calls.canary / canary),
            };
            evidence.add_events(SplitRatio::of(*weight), events);
        }
        let (adverse, good, stable) = (whole(adverse), whole(good), whole(stable));
        let calls = PerChannel { stable, canary: good + adverse };
        evidence.add_counts(calls, PerChannel { stable: whole(stable_adverse), canary: adverse });
        evidence.add_trials(calls.canary, adverse);
        evidence
    }

    /// Returns the expected calls of both channels in each step until `at`.
    fn calls_until(&self, at: Duration) -> Vec<(Weight, PerChannel<f64>)> {
        let mut left = at;
        let steps = self.plan.iter().map(|(weight, lasts)| {
            let time = left.min(*lasts);
            left -= time;
            let calls = self.calls_per_second * time.as_secs_f64();
            let canary = calls * weight.ratio();
            (*weight, PerChannel { stable: calls - canary, canary })
        });
        steps.collect()
    }

    /// Returns the first moment of the plan for which `holds` is true, to about 10^-5 of the plan.
    fn first(&self, holds: impl Fn(Duration) -> bool) -> Option<Duration> {
        let lasts: Duration = self.plan.iter().map(|(_, lasts)| *lasts).sum();
        let moments = (1..=COARSE).map(|part| lasts.mul_f64(f64::from(part) / f64::from(COARSE)));
        let mut before = Duration::ZERO;
        for moment in moments {
            if holds(moment) {
                let mut after = moment;
                while after - before > (lasts / 100_000).max(Duration::from_millis(1)) {
                    let middle = before + (after - before) / 2;
                    if holds(middle) { after = middle } else { before = middle }
                }
                return Some(after);
            }
            before = moment;
        }
        None
    }
}

impl Judge {
    /// Creates a [`Forecast`] for the monitor with this name, of a service with `calls_per_second`
    /// and a fraction `base_rate` of adverse calls. The plan is a list of weights and their
    /// durations.
    ///
    /// It has the monitor's margins and its [part of `alpha`](Self::alpha_of), and takes the
    /// [restarts](Self::with_restarts) into account.
    ///
    /// Returns `None` if there is no such monitor or it watches the share.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Forecast::try_new`].
    pub fn forecast(
        &self,
        monitor: &str,
        calls_per_second: f64,
        base_rate: f64,
        plan: impl IntoIterator<Item = (Weight, Duration)>,
    ) -> Option<Result<Forecast, ForecastError>> {
        let comparison = self.comparison(monitor)?;
        let monitor = self.monitors().find(|known| known.name() == monitor)?;
        let (margins, levels) = (monitor.margins(), self.levels());
        // The restarts can only add to the part of the wealth that bets over the whole rollout.
        let worse_threshold = self.worse_threshold(monitor) - comparison.ln_whole_part();
        let forecast = Forecast::try_new(calls_per_second, base_rate, plan, margins, levels, 1);
        Some(forecast.map(|forecast| Forecast { worse_threshold, ..forecast }))
    }
}

/// The relative precision of rates.
const RATE_PRECISION: f64 = 0.001;
/// Moments of the plan to try before the search between two of them.
const COARSE: u32 = 400;
const MOST_CALLS: f64 = 1e9;
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Monitor;

    fn forecast(calls: f64, rate: f64) -> Forecast {
        let plan = [1, 5, 10, 25, 50]
            .map(|percent| (Weight::from_percent(percent), Duration::from_secs(720)));
        let margins = Monitor::failures().margins();
        Forecast::try_new(calls, rate, plan, margins, Levels::default(), 1).unwrap()
    }

    #[test]
    fn larger_harm_and_more_traffic_are_detected_earlier() {
        let slow = forecast(50.0, 0.01);
        let (two, five) = (slow.until_caught(2.0).unwrap(), slow.until_caught(5.0).unwrap());
        assert!(two > five && five > slow.until_total_failure_caught().unwrap());
        assert!(forecast(5000.0, 0.01).until_caught(2.0).unwrap() < two);
    }

    #[test]
    fn the_forecast_of_a_judge_has_its_thresholds() {
        let plan = || [(Weight::from_percent(10), Duration::from_secs(3600))];
        let needed = |judge: &Judge| {
            let forecast = judge.forecast("failures", 50.0, 0.01, plan()).unwrap().unwrap();
            forecast.worse_threshold.exp().round()
        };
        let of = |monitors: &[Monitor]| {
            Judge::try_new(Levels::default(), monitors.iter().cloned()).unwrap()
        };
        let (failures, cancelled) = (Monitor::failures(), Monitor::cancelled());
        let alone = of(std::slice::from_ref(&failures));
        let default = of(&[failures.clone(), cancelled.clone(), Monitor::share()]);
        let watched = of(&[failures, cancelled.watch_only()]);
        let needed = [needed(&alone), needed(&watched), needed(&default)];
        assert_eq!(needed.map(|odds| format!("{odds}")), ["100", "100", "125"]);
        assert!(default.forecast("share", 50.0, 0.01, plan()).is_none());
        let restarted = alone.with_restarts().forecast("failures", 50.0, 0.01, plan());
        let threshold = restarted.unwrap().unwrap().worse_threshold;
        assert!((threshold - (100.0_f64 / 0.9).ln()).abs() < 1e-9, "{threshold}");
    }

    #[test]
    fn the_smallest_regression_shrinks_with_more_traffic() {
        let slow = forecast(50.0, 0.01);
        let smallest = slow.smallest_caught().unwrap();
        assert!((0.01..0.05).contains(&smallest), "{smallest}");
        assert!(slow.until_caught(smallest / 0.01).is_some());
        assert_eq!(slow.until_caught(smallest * 0.95 / 0.01), None);
        assert!(forecast(5000.0, 0.01).smallest_caught().unwrap() < smallest);
        assert!(forecast(50.0, 0.0).smallest_caught().is_some());
        assert_eq!(forecast(0.001, 0.01).smallest_caught(), None);
    }

    #[test]
    fn a_service_without_errors_is_proven_by_its_calls() {
        let proven = forecast(50.0, 0.0).until_proven().unwrap();
        // The proof needs 837 canary calls: 360 in the first step, then 2.5 a second.
        assert!((900.0..960.0).contains(&proven.as_secs_f64()), "{proven:?}");
        assert_eq!(forecast(50.0, 0.0).until_caught(5.0), None);
    }

    #[test]
    fn errors_name_the_invalid_parameter() {
        let of = |calls, rate, seconds| {
            let plan = [(Weight::from_percent(1), Duration::from_secs(seconds))];
            let margins = Monitor::failures().margins();
            Forecast::try_new(calls, rate, plan, margins, Levels::default(), 1)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(of(0.0, 0.1, 1), "0 calls per second, expected more than 0 and at most 10^9");
        assert_eq!(
            of(f64::NAN, 0.1, 1),
            "NaN calls per second, expected more than 0 and at most 10^9"
        );
        assert_eq!(of(1.0, 1.0, 1), "base rate 1, expected at least 0 and below 1");
        assert_eq!(of(1.0, 0.1, 0), "the plan is empty or longer than 366 days");
    }
}
