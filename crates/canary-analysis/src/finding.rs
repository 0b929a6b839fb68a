use std::time::Duration;

use canary_core::{Channel, PerChannel, Verdict};

use crate::{
    interval::RatioInterval,
    log_space::float,
    margins::Margins,
    monitor::{Measure, Monitor, Role, Unit},
    not_healthy_reason::NotHealthyReason,
};

/// What one monitor says, with the numbers that it rests on.
///
/// It prints as one sentence for people. No number in it is ever NaN.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The monitor's name.
    pub monitor: String,
    /// Whether it decides.
    pub role: Role,
    /// Its verdict.
    pub verdict: Verdict,
    /// Calls (feedback, occasions) that were compared; seen keys, if the monitor counts per key;
    /// picks, if it watches the share.
    pub calls: PerChannel<u64>,
    /// Those that went badly; keys that met one, if the monitor counts per key.
    pub adverse: PerChannel<u64>,
    /// Calls that cannot be judged, since they have no answer: in flight, given up or lost.
    pub unanswered: PerChannel<u64>,
    /// The canary's adverse rate as a multiple of stable's, with an interval that holds at any time
    /// with probability `1 - alpha`, half of it at each end, whatever the other monitors say. Of the
    /// share, the odds of the canary's picks as a multiple of those asked.
    pub ratio: RatioInterval,
    /// The evidence that the canary is worse, or the split broken.
    pub worse: Strength,
    /// The evidence that the canary is good enough, even if all calls without an answer had gone
    /// badly: the weaker of two proofs, with [storms](crate#storms) and without. None if the monitor
    /// watches the share.
    pub good: Option<Strength>,
    /// Why the canary is not called healthy, whatever that evidence.
    pub not_healthy_reason: Option<NotHealthyReason>,
    /// The split, if the monitor watches the share.
    pub split: Option<Split>,
    /// From which time on calls are slow, if the monitor watches that and knows it yet.
    pub slow_limit: Option<Duration>,
    /// Events that a full ledger of keys could not count.
    pub refused_keys: u64,
    /// Calls or keys on a channel that their weight excludes.
    pub impossible: u64,
    pub(crate) basis: PerChannel<u64>,
    pub(crate) measure: Measure,
    pub(crate) unit: Unit,
    pub(crate) margins: Margins,
}

impl Finding {
    pub(crate) fn blank(monitor: &Monitor, worse: Strength) -> Self {
        Self {
            monitor: monitor.name().to_owned(),
            role: monitor.role(),
            verdict: Verdict::Inconclusive,
            calls: PerChannel::default(),
            adverse: PerChannel::default(),
            unanswered: PerChannel::default(),
            ratio: RatioInterval { estimate: None, lower: 0.0, upper: None },
            worse,
            good: None,
            not_healthy_reason: None,
            split: None,
            slow_limit: None,
            refused_keys: 0,
            impossible: 0,
            basis: PerChannel::default(),
            measure: monitor.measure().clone(),
            unit: monitor.unit(),
            margins: monitor.margins(),
        }
    }

    /// The part of a channel's calls, or seen keys, that went badly, `0.0..=1.0`; none before the
    /// first one, and if the monitor watches the share.
    #[must_use]
    pub fn rate(&self, channel: Channel) -> Option<f64> {
        let calls = self.calls[channel];
        let is_rate = calls > 0 && self.measure != Measure::Share;
        is_rate.then(|| (float(self.adverse[channel]) / float(calls)).min(1.0))
    }
}

/// How strong evidence is, and how strong it must be.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Strength {
    /// The natural logarithm of the e-value.
    pub log_e: f64,
    /// The logarithm that it must reach.
    pub threshold: f64,
}

impl Strength {
    /// The odds against chance: 100 says that a fair game would have made so much out of 1 in at
    /// most one of 100 cases. It is finite, and ends at the largest `f64`.
    #[must_use]
    pub fn e_value(&self) -> f64 {
        self.log_e.exp().min(f64::MAX)
    }

    /// The e-value that must be reached.
    #[must_use]
    pub fn needed(&self) -> f64 {
        self.threshold.exp().min(f64::MAX)
    }

    /// Whether the evidence is strong enough.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.log_e >= self.threshold
    }
}

/// The canary's share of calls, asked and seen, each `0.0..=1.0`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Split {
    /// What the weights asked for.
    pub requested: f64,
    /// What there was.
    pub observed: f64,
}
