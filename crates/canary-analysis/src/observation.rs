use std::collections::BTreeMap;

use canary_core::{CountsWentBackwards, EpochCounts, Snapshot};

use crate::{adverse_counts::AdverseCounts, key_ledger::KeyCounts};

/// What was counted since the judge last looked.
///
/// A restart of the process begins its counts anew: the first observation after it starts from an
/// empty [`Snapshot`], and the evidence from the stored state.
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
#[derive(Clone, Debug, Default)]
pub struct Observation {
    pub(crate) calls: Vec<EpochCounts>,
    pub(crate) classes: BTreeMap<String, Vec<EpochCounts>>,
    pub(crate) feedback: Vec<AdverseCounts>,
    pub(crate) events: BTreeMap<String, Vec<AdverseCounts>>,
    pub(crate) keys: BTreeMap<String, KeyCounts>,
    pub(crate) seen: BTreeMap<String, KeyCounts>,
}

impl Observation {
    /// An observation of all calls, given as what was counted since the last one.
    ///
    /// Calls of epochs that retired in between are left out: their weight is no longer known.
    #[must_use]
    pub fn of(difference: Snapshot) -> Self {
        Self { calls: difference.epochs, ..Self::default() }
    }

    /// An observation of all calls that were counted after `earlier`.
    ///
    /// # Errors
    ///
    /// If a count is lower than it was in `earlier`. The error names it. Nothing was observed then;
    /// a process that started anew is the usual reason, and an empty `earlier` the answer.
    pub fn between(earlier: &Snapshot, now: &Snapshot) -> Result<Self, CountsWentBackwards> {
        now.since(earlier).map(Self::of)
    }

    /// Adds what another replica counted in the same time.
    #[must_use]
    pub fn with_replica(mut self, other: Self) -> Self {
        self.calls.extend(other.calls);
        self.feedback.extend(other.feedback);
        for (class, epochs) in other.classes {
            self.classes.entry(class).or_default().extend(epochs);
        }
        for (name, ticks) in other.events {
            self.events.entry(name).or_default().extend(ticks);
        }
        for (monitor, keys) in &other.keys {
            self.keys.entry(monitor.clone()).or_default().merge(keys);
        }
        for (monitor, keys) in &other.seen {
            self.seen.entry(monitor.clone()).or_default().merge(keys);
        }
        self
    }

    /// Adds the calls of a class of routes, as what was counted since the last observation.
    #[must_use]
    pub fn with_class(mut self, class: impl Into<String>, difference: Snapshot) -> Self {
        self.classes.entry(class.into()).or_default().extend(difference.epochs);
        self
    }

    /// Adds user feedback: all of it, and the negative part as adverse, at the weight at which the
    /// rated calls had been assigned.
    #[must_use]
    pub fn with_feedback(mut self, ticks: impl IntoIterator<Item = AdverseCounts>) -> Self {
        self.feedback.extend(ticks);
        self
    }

    /// Adds occasions for an event of the application's own, and how many of them were adverse.
    #[must_use]
    pub fn with_event(
        mut self,
        name: impl Into<String>,
        ticks: impl IntoIterator<Item = AdverseCounts>,
    ) -> Self {
        self.events.entry(name.into()).or_default().extend(ticks);
        self
    }

    /// Adds keys that met an adverse event, for the monitor of this name.
    ///
    /// To be given with each observation, even if no key did: without it, seen keys are not taken for
    /// keys that met none.
    #[must_use]
    pub fn with_adverse_keys(mut self, monitor: impl Into<String>, adverse: &KeyCounts) -> Self {
        self.keys.entry(monitor.into()).or_default().merge(adverse);
        self
    }

    /// Adds keys of which a call was answered, for the monitor of this name: of all calls, or those of
    /// its class, or of the picks if it watches the share.
    ///
    /// A key is tried out with its first answer. What happens to it later is counted as it happens,
    /// so that the rates are about keys *so far*: harm that needs many calls of one user shows late.
    #[must_use]
    pub fn with_seen_keys(mut self, monitor: impl Into<String>, seen: &KeyCounts) -> Self {
        self.seen.entry(monitor.into()).or_default().merge(seen);
        self
    }
}
