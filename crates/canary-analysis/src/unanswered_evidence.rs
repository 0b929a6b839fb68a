use canary_core::{Age, EpochCounts, PerChannel};

use crate::{
    adverse_counts::AdverseCounts, channel_comparison::ChannelComparison,
    log_space::ln_weighted_mean_exp, monitor::Monitor,
};

/// The evidence that calls of the canary stay without an answer more often than stable's.
///
/// A call without an answer counts when it reaches an [`Age`], on both channels alike, so that the
/// channel of each such event depends on the assignment only. There is a comparison for each age:
/// the shortest finds a canary that hangs within seconds, and the longer ones find it in a service
/// whose good calls take long, too. The e-value is the mean of theirs, and so an e-value.
#[derive(Clone, Debug)]
pub(crate) struct UnansweredEvidence {
    /// By age, the shortest first.
    pub(crate) ages: [ChannelComparison; Age::ALL.len()],
}

impl UnansweredEvidence {
    pub(crate) fn new(monitor: &Monitor) -> Self {
        Self { ages: Age::ALL.map(|_| ChannelComparison::new(monitor)) }
    }

    pub(crate) fn observe(&mut self, calls: &[EpochCounts]) {
        for epoch in calls {
            let evidence = &epoch.counts.evidence;
            for (age, comparison) in Age::ALL.into_iter().zip(&mut self.ages) {
                let unanswered = PerChannel::from_fn(|channel| evidence[channel].unanswered[age]);
                // Assigned calls rather than those that have reached the age: young calls count as
                // good, which can only lower the evidence. Without new calls, older ones still
                // reach the age.
                let trials = PerChannel::from_fn(|channel| {
                    evidence[channel].picked.max(unanswered[channel])
                });
                if let Ok(counts) = AdverseCounts::try_new(epoch.weight, trials, unanswered) {
                    comparison.observe_worse_only(&counts);
                }
            }
        }
    }

    /// Returns the evidence that the canary is worse.
    pub(crate) fn log_e_worse(&self) -> f64 {
        ln_weighted_mean_exp(self.ages.each_ref().map(ChannelComparison::log_e_worse), &AGE_PARTS)
    }

    /// Returns the age with the strongest evidence, and its comparison.
    pub(crate) fn strongest(&self) -> (Age, &ChannelComparison) {
        let mut strongest = (Age::FiveSeconds, &self.ages[0]);
        for (age, comparison) in Age::ALL.into_iter().zip(&self.ages).skip(1) {
            if comparison.log_e_worse() > strongest.1.log_e_worse() {
                strongest = (age, comparison);
            }
        }
        strongest
    }
}

/// The part of the wealth that bets on each age. Most canaries that hang are found at the first, and
/// the others are for services in which many good calls take longer than that.
const AGE_PARTS: [f64; Age::ALL.len()] = [0.6, 0.2, 0.2];
