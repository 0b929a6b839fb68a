use canary_core::{Age, EpochCounts, PerChannel};

use crate::{
    adverse_counts::AdverseCounts,
    background::{BackgroundState, Look},
    channel_comparison::ChannelComparison,
    finding::Strength,
    log_space::ln_weighted_mean_exp,
    monitor::Monitor,
    split_ratio::SplitRatio,
};

/// The evidence that calls of the canary stay without an answer more often than stable's.
///
/// A call without an answer counts when it reaches an [`Age`], on both channels alike, so that the
/// channel of each such event depends on the assignment only. There is a comparison for each age:
/// the shortest finds a canary that hangs within seconds, and the longer ones find it in a service
/// whose good calls take long, too. The e-value is the weighted mean of theirs, and so an e-value.
///
/// If pods of stable hang on their own from time to time, harm needs a second proof, as failures do.
/// It is about the shortest age: calls that reach a longer one have reached that, too.
#[derive(Clone, Debug)]
pub(crate) struct UnansweredEvidence {
    /// By age, the shortest first.
    pub(crate) ages: [ChannelComparison; Age::ALL.len()],
}

impl UnansweredEvidence {
    pub(crate) fn new(monitor: &Monitor) -> Self {
        Self { ages: Age::ALL.map(|_| ChannelComparison::new(monitor)) }
    }

    /// Adds one look: the counts of all weights and replicas.
    pub(crate) fn observe(&mut self, calls: &[EpochCounts], millis: u64) {
        for (age, comparison) in Age::ALL.into_iter().zip(&mut self.ages) {
            for counts in calls.iter().filter_map(|epoch| unanswered(epoch, age)) {
                comparison.observe_worse_only(&counts);
            }
        }
        self.observe_blocks(calls, millis);
    }

    fn observe_blocks(&mut self, calls: &[EpochCounts], millis: u64) {
        let [shortest, ..] = &mut self.ages;
        let (mut trials, mut adverse) = (PerChannel::default(), PerChannel::default());
        let mut events = Vec::with_capacity(calls.len());
        for counts in calls.iter().filter_map(|epoch| unanswered(epoch, Age::ALL[0])) {
            trials = PerChannel::saturating_add(trials, counts.calls());
            adverse = PerChannel::saturating_add(adverse, counts.adverse());
            events.push((SplitRatio::of(counts.weight()), counts.adverse()));
        }
        let is_split = events.iter().any(|(ratio, _)| !ratio.is_certain());
        shortest.observe_blocks(&Look {
            millis,
            calls: trials,
            adverse,
            events: &events,
            is_split,
        });
    }

    /// Returns what is known about stable.
    pub(crate) const fn background(&self) -> &BackgroundState {
        &self.ages[0].background.state
    }

    pub(crate) fn set_background(&mut self, background: BackgroundState) {
        self.ages[0].background.state = background;
    }

    /// Returns the second proof of harm, or `None` if none is asked for.
    pub(crate) fn second_proof(&self) -> Option<Strength> {
        self.ages[0].second_proof()
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

/// Returns the calls that reached this age without an answer.
fn unanswered(epoch: &EpochCounts, age: Age) -> Option<AdverseCounts> {
    let evidence = &epoch.counts.evidence;
    let unanswered = PerChannel::from_fn(|channel| evidence[channel].unanswered[age]);
    // Assigned calls rather than those that have reached the age: young calls count as good, which
    // can only lower the evidence. Without new calls, older ones still reach the age.
    let trials = PerChannel::from_fn(|channel| evidence[channel].picked.max(unanswered[channel]));
    // Never `None`, because the unanswered calls are a part of the trials.
    AdverseCounts::try_new(epoch.weight, trials, unanswered).ok()
}

/// The part of the wealth that bets on each age. Most canaries that hang are found at the first, and
/// the others are for services in which many good calls take longer than that.
const AGE_PARTS: [f64; Age::ALL.len()] = [0.6, 0.2, 0.2];
