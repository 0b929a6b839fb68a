use std::{collections::BTreeMap, time::Duration};

use canary_core::{CountsWentBackwards, EpochCounts, Snapshot};

use crate::{adverse_counts::AdverseCounts, key_ledger::KeyCounts};

/// The counts since the previous observation, and the time that has passed since: one look of the
/// judge.
///
/// A process starts with empty counts. Its first observation starts from an empty [`Snapshot`],
/// even if its judge was restored from stored state.
///
/// # Example
///
/// ```
/// use canary_analysis::Observation;
/// use canary_core::{Counts, EpochCounts, Snapshot, Weight};
///
/// let mut now = Snapshot::new(
///     Counts::default(),
///     vec![EpochCounts::new(1, Weight::from_percent(1), Counts::default())],
/// );
/// now.epochs[0].counts.evidence.canary.failure = 1;
/// assert!(Observation::between(&Snapshot::default(), &now).is_ok());
///
/// let error = Observation::between(&now, &Snapshot::default()).unwrap_err();
/// assert_eq!(error.to_string(), "the count `failure` of canary is lower than it was earlier");
/// ```
#[derive(Clone, Debug)]
pub struct Observation {
    pub(crate) duration: Duration,
    /// The step in which the counts arose; `None` for the one that the judge has reached.
    pub(crate) step: Option<usize>,
    pub(crate) calls: Vec<EpochCounts>,
    pub(crate) classes: BTreeMap<String, Vec<EpochCounts>>,
    pub(crate) feedback: Vec<AdverseCounts>,
    pub(crate) events: BTreeMap<String, Vec<AdverseCounts>>,
    pub(crate) keys: BTreeMap<String, KeyCounts>,
    pub(crate) seen: BTreeMap<String, KeyCounts>,
}

impl Default for Observation {
    /// Creates an observation of one second without counts.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(1),
            step: None,
            calls: Vec::new(),
            classes: BTreeMap::new(),
            feedback: Vec::new(),
            events: BTreeMap::new(),
            keys: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }
}

impl Observation {
    /// Creates an observation from the difference of two snapshots.
    ///
    /// It omits calls of epochs that retired in between, whose weight is no longer known.
    #[must_use]
    pub fn of(difference: Snapshot) -> Self {
        Self { calls: difference.epochs, ..Self::default() }
    }

    /// Creates an observation of the counts after `earlier`.
    ///
    /// # Errors
    ///
    /// Returns an error that names the count if a count is lower than in `earlier`. The usual cause
    /// is a process that restarted. Use an empty `earlier` then.
    pub fn between(earlier: &Snapshot, now: &Snapshot) -> Result<Self, CountsWentBackwards> {
        now.since(earlier).map(Self::of)
    }

    /// Sets the time in which the counts arose: the time since the previous observation. It is one
    /// second if it is not set.
    #[must_use]
    pub const fn with_duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// Returns the time in which the counts arose.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// Sets the step of the rollout in which the counts arose, from 1. It is the one that the judge has
    /// [reached](crate::Judge::reach_step) if it is not set.
    ///
    /// Set it if the judge has reached a later one in between. Monitors that
    /// [start](crate::Monitor::starting_at_step) after `step` then ignore the counts.
    #[must_use]
    pub const fn in_step(mut self, step: usize) -> Self {
        self.step = Some(step);
        self
    }

    /// Returns whether the canary has got a call.
    pub(crate) fn has_canary_calls(&self) -> bool {
        let calls = self.calls.iter().chain(self.classes.values().flatten());
        let mut calls = calls.map(|epoch| &epoch.counts.evidence.canary);
        calls.any(|canary| canary.picked > 0 || canary.ended() > 0)
    }

    /// Adds the counts of another replica in the same time. The duration and the step of `self` apply.
    #[must_use]
    pub fn with_replica(mut self, other: Self) -> Self {
        self.calls.extend(other.calls);
        self.feedback.extend(other.feedback);
        for (class, epochs) in other.classes {
            self.classes.entry(class).or_default().extend(epochs);
        }
        for (name, counts) in other.events {
            self.events.entry(name).or_default().extend(counts);
        }
        for (monitor, keys) in &other.keys {
            self.keys.entry(monitor.clone()).or_default().merge(keys);
        }
        for (monitor, keys) in &other.seen {
            self.seen.entry(monitor.clone()).or_default().merge(keys);
        }
        self
    }

    /// Adds the calls of a class of routes, as a difference of two snapshots.
    #[must_use]
    pub fn with_class(mut self, class: impl Into<String>, difference: Snapshot) -> Self {
        self.classes.entry(class.into()).or_default().extend(difference.epochs);
        self
    }

    /// Adds user feedback. Negative feedback is adverse. The weight is the one at which the rated
    /// call was assigned.
    #[must_use]
    pub fn with_feedback(mut self, counts: impl IntoIterator<Item = AdverseCounts>) -> Self {
        self.feedback.extend(counts);
        self
    }

    /// Adds application events, and the adverse ones among them.
    #[must_use]
    pub fn with_event(
        mut self,
        name: impl Into<String>,
        counts: impl IntoIterator<Item = AdverseCounts>,
    ) -> Self {
        self.events.entry(name.into()).or_default().extend(counts);
        self
    }

    /// Adds keys with an adverse event, for the monitor with this name.
    ///
    /// Call it for each observation, even if there are no such keys. Otherwise the seen keys of the
    /// observation are ignored, because their result is unknown.
    #[must_use]
    pub fn with_adverse_keys(mut self, monitor: impl Into<String>, adverse: &KeyCounts) -> Self {
        self.keys.entry(monitor.into()).or_default().merge(adverse);
        self
    }

    /// Adds keys with a response, for the monitor with this name: keys of all calls, or of its
    /// class. A share monitor needs the keys that were assigned.
    ///
    /// A key becomes a trial with its first response, and adverse with its first adverse event. So
    /// the rates are about keys *so far*: harm that needs many calls of one user shows late.
    #[must_use]
    pub fn with_seen_keys(mut self, monitor: impl Into<String>, seen: &KeyCounts) -> Self {
        self.seen.entry(monitor.into()).or_default().merge(seen);
        self
    }
}
