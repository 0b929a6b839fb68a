use std::{collections::VecDeque, time::Duration};

use canary_core::{Age, EpochCounts, PerChannel};

use crate::{
    adverse_counts::AdverseCounts, channel_comparison::ChannelComparison, log_space::ln_mean_exp,
    monitor::Monitor,
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
    /// The latest looks.
    recent: VecDeque<Look>,
}

/// The time that a look covers, and the calls that were assigned in it.
#[derive(Clone, Copy, Debug)]
struct Look {
    duration: Duration,
    given: PerChannel<u64>,
}

impl UnansweredEvidence {
    pub(crate) fn new(monitor: &Monitor) -> Self {
        Self { ages: Age::ALL.map(|_| ChannelComparison::new(monitor)), recent: VecDeque::new() }
    }

    pub(crate) fn observe(&mut self, calls: &[EpochCounts], duration: Duration) {
        let mut look = Look { duration, given: PerChannel::default() };
        for epoch in calls {
            let evidence = &epoch.counts.evidence;
            let given = PerChannel::from_fn(|channel| evidence[channel].picked);
            for (age, comparison) in Age::ALL.into_iter().zip(&mut self.ages) {
                let unanswered = PerChannel::from_fn(|channel| evidence[channel].unanswered[age]);
                // Assigned calls rather than those that have reached the age: young calls count as
                // good, which can only lower the evidence. Without new calls, older ones still
                // reach the age.
                let trials = PerChannel::from_fn(|at| given[at].max(unanswered[at]));
                if let Ok(counts) = AdverseCounts::try_new(epoch.weight, trials, unanswered) {
                    comparison.observe_worse_only(&counts);
                }
            }
            look.given = look.given.saturating_add(given);
        }
        self.remember(look);
    }

    fn remember(&mut self, look: Look) {
        match self.recent.back_mut() {
            Some(last) if last.duration < RESOLUTION => {
                last.given = last.given.saturating_add(look.given);
                last.duration = last.duration.saturating_add(look.duration);
            }
            _ => self.recent.push_back(look),
        }
        while self.recent.len() > MAX_LOOKS {
            self.recent.pop_front();
        }
    }

    /// Returns the evidence that the canary is worse.
    pub(crate) fn log_e_worse(&self) -> f64 {
        ln_mean_exp(self.ages.each_ref().map(ChannelComparison::log_e_worse))
    }

    /// Returns the age with the strongest evidence, the shortest one if there is none.
    pub(crate) fn strongest_age(&self) -> Age {
        let log_e = |age: &Age| self.ages[*age as usize].log_e_worse();
        // `max_by` returns the last of equal elements.
        let strongest =
            Age::ALL.into_iter().rev().max_by(|one, other| log_e(one).total_cmp(&log_e(other)));
        strongest.unwrap_or(Age::FiveSeconds)
    }

    /// Returns the calls assigned so far.
    pub(crate) fn given(&self) -> PerChannel<u64> {
        self.ages[0].whole.calls()
    }

    /// Returns the calls that reached `age` without an answer.
    pub(crate) fn unanswered(&self, age: Age) -> PerChannel<u64> {
        self.ages[age as usize].whole.adverse()
    }

    /// Returns about the number of calls that were assigned long enough ago to have reached `age`.
    pub(crate) fn old_enough(&self, age: Age) -> PerChannel<u64> {
        let mut left = age.duration();
        let mut young = PerChannel::<u64>::default();
        for look in self.recent.iter().rev() {
            if left.is_zero() {
                break;
            }
            left = left.saturating_sub(look.duration);
            young = young.saturating_add(look.given);
        }
        let (given, unanswered) = (self.given(), self.unanswered(age));
        PerChannel::from_fn(|channel| {
            given[channel].saturating_sub(young[channel]).max(unanswered[channel])
        })
    }
}

/// Looks that are closer are remembered as one.
const RESOLUTION: Duration = Duration::from_secs(1);

/// Two minutes of looks.
const MAX_LOOKS: usize = 121;
