use std::time::Duration;

use canary_core::{Age, Channel, PerChannel, Verdict};

use crate::{
    interval::RatioInterval,
    limit::Limit,
    log_space::float,
    margins::Margins,
    monitor::{Measure, Monitor, Role, Unit},
    not_healthy_reason::NotHealthyReason,
};

/// The verdict of one monitor, with the numbers behind it.
///
/// It prints as one sentence for operators. No number in it is ever NaN.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The name of the monitor.
    pub monitor: String,
    /// What counts as adverse.
    pub measure: Measure,
    /// The class of routes, or `None` if the monitor watches all calls.
    pub class: Option<String>,
    /// Whether calls or keys are counted.
    pub unit: Unit,
    /// The differences that count as worse, and as good enough.
    pub margins: Margins,
    /// The absolute limit, or `None` if the canary is compared with stable.
    pub limit: Option<Limit>,
    /// Whether the monitor decides.
    pub role: Role,
    /// The step of the rollout from which on the monitor judges; 1 for the whole rollout.
    pub starting_step: usize,
    /// That step, if it has not begun. The monitor is no part of the overall verdict then.
    pub waits_for_step: Option<usize>,
    /// Its verdict.
    pub verdict: Verdict,
    /// The trials on which the verdict is based: as `calls`, or for a monitor per key the calls with
    /// a response if they are more. The verdict is inconclusive without any of the canary.
    pub basis: PerChannel<u64>,
    /// The trials: calls with a response, feedback or events. Assigned calls if it watches
    /// unanswered ones. Seen keys if the monitor counts per
    /// key, picks if it watches the share.
    pub calls: PerChannel<u64>,
    /// The adverse trials.
    pub adverse: PerChannel<u64>,
    /// Stable's adverse rate at the weights of the canary's trials, `0.0..=1.0`: the rate that the
    /// canary would have if it were as good as stable. It is the sum of `n_c * x_s / n_s` over the
    /// weights, divided by the sum of `n_c`, where `n` are trials and `x` adverse trials of each
    /// channel. `None` without trials of both channels at one weight.
    pub stable_rate_at_canary_weights: Option<f64>,
    /// Calls without a response: in flight, cancelled or lost.
    pub unanswered: PerChannel<u64>,
    /// The canary's adverse rate as a multiple of stable's. The interval contains it at all times
    /// with a probability of at least `1 - alpha`; `alpha` is not split over the monitors here. For
    /// the share, the odds of the canary as a multiple of the requested odds.
    pub ratio: RatioInterval,
    /// The evidence that the canary is worse, or that the split is broken.
    pub worse: Strength,
    /// The evidence that the canary is good enough even if all calls without a response were
    /// adverse: with or without [outages](crate#outages), whichever is weaker. `None` for the
    /// share.
    pub good: Option<Strength>,
    /// The margin for which the evidence that the canary is good enough is stronger. `None` for the
    /// share.
    pub good_by: Option<GoodBy>,
    /// An estimate of the canary trials that the proof of "good enough" still takes, if both rates
    /// stay as they are. `None` if it is proven, or not provable at these rates.
    pub missing_calls: Option<u64>,
    /// The time until the end of the [warm-up](Monitor::warm_up), `None` outside of it. During the
    /// warm-up, `calls`, `adverse` and `worse` are about the warm-up.
    pub warm_up_left: Option<Duration>,
    /// The evidence of harm over blocks of time, if a degraded verdict needs it in addition to
    /// `worse`: stable has shown [outages of its own](crate::SecondProof).
    pub second_proof: Option<Strength>,
    /// The reason why the monitor does not call the canary healthy, however strong `good` is.
    pub not_healthy_reason: Option<NotHealthyReason>,
    /// The share of calls, if the monitor watches it.
    pub split: Option<Split>,
    /// The limit for slow calls of the canary, once it is known.
    pub slow_limit: Option<Duration>,
    /// The limit for slow calls of stable, once it is known. It is lower than the canary's if it is
    /// a quantile of stable's calls, by the [`Excess`](crate::Excess).
    pub stable_slow_limit: Option<Duration>,
    /// The age at which the calls have no answer, if the monitor watches that: the one with the
    /// strongest evidence.
    pub age: Option<Age>,
    /// Events that a full ledger of keys did not count.
    pub refused_keys: u64,
    /// Calls or keys on a channel that their weight excludes.
    pub impossible: u64,
    pub(crate) is_without_key: bool,
}

impl Finding {
    pub(crate) fn blank(monitor: &Monitor, worse: Strength) -> Self {
        Self {
            monitor: monitor.name().to_owned(),
            class: monitor.class().map(str::to_owned),
            stable_rate_at_canary_weights: None,
            good_by: None,
            missing_calls: None,
            warm_up_left: None,
            role: monitor.role(),
            starting_step: monitor.starting_step(),
            waits_for_step: None,
            verdict: Verdict::Inconclusive,
            calls: PerChannel::default(),
            adverse: PerChannel::default(),
            unanswered: PerChannel::default(),
            ratio: RatioInterval { estimate: None, lower: 0.0, upper: None },
            worse,
            good: None,
            second_proof: None,
            not_healthy_reason: None,
            split: None,
            slow_limit: None,
            stable_slow_limit: None,
            age: None,
            refused_keys: 0,
            impossible: 0,
            basis: PerChannel::default(),
            measure: monitor.measure().clone(),
            unit: monitor.unit(),
            is_without_key: monitor.is_without_key(),
            margins: monitor.margins(),
            limit: monitor.limit(),
        }
    }

    /// Returns the adverse rate of a channel, `0.0..=1.0`. Returns `None` before its first trial,
    /// and for the share.
    #[must_use]
    pub fn rate(&self, channel: Channel) -> Option<f64> {
        let calls = self.calls[channel];
        let is_rate = calls > 0 && self.measure != Measure::Share;
        is_rate.then(|| (float(self.adverse[channel]) / float(calls)).min(1.0))
    }
}

/// The margin that a proof of "good enough" is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum GoodBy {
    /// The canary's rate is below `good.ratio` times stable's.
    Ratio,
    /// The canary's rate is below `good.rate`.
    Rate,
}

/// The strength of evidence, and the strength that it needs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Strength {
    /// The natural logarithm of the e-value.
    pub log_e: f64,
    /// The logarithm that suffices for the verdict.
    pub threshold: f64,
}

impl Strength {
    /// Returns the e-value: the odds against chance. If the claim under test is true, the
    /// probability that it ever reaches 100 is at most one in 100. It is finite, at most
    /// `f64::MAX`.
    #[must_use]
    pub fn e_value(&self) -> f64 {
        self.log_e.exp().min(f64::MAX)
    }

    /// Returns the e-value that suffices for the verdict.
    #[must_use]
    pub fn needed(&self) -> f64 {
        self.threshold.exp().min(f64::MAX)
    }

    /// Returns whether the evidence is strong enough.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.log_e >= self.threshold
    }

    /// Returns the evidence on the scale of its threshold, `0.0..=1.0`. It is 1.0 exactly if the
    /// threshold is reached.
    #[must_use]
    pub fn progress(&self) -> f64 {
        if self.is_reached() {
            return 1.0;
        }
        let part = self.log_e / self.threshold;
        // The evidence is below its threshold, so it must not round up to it.
        if part.is_finite() { part.clamp(0.0, 0.999) } else { 0.0 }
    }
}

/// The canary's share of calls, `0.0..=1.0`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Split {
    /// The share that the weights requested.
    pub requested: f64,
    /// The share of the counted calls.
    pub observed: f64,
}
