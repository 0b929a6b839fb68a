use std::sync::{
    Mutex, PoisonError, TryLockError,
    atomic::{AtomicBool, Ordering},
};

use canary_core::{Snapshot, Weight};

use self::pending_failures::{FailureBatch, PendingFailures};
use crate::{
    channel_comparison::{ChannelComparison, ComparisonLogRatios},
    evidence::Evidence,
    finding::Strength,
    judge::Judge,
    monitor::{Measure, Monitor, Role, Unit},
    monitor_state::failures,
    split_ratio::SplitRatio,
};

mod pending_failures;

/// Lets each canary call that fails update the evidence at once, between the judge's ticks.
///
/// A canary that fails every call is caught with its second or third call at weights up to 10 %, at
/// any traffic, and no call that ends well pays for it. (At 25 % it takes five calls, at 50 % nine:
/// three failures in a row on half of the traffic are no proof, but chance in one of eight cases.)
///
/// It watches the failures of all calls. Harm that only a monitor of a class, per key or of another
/// measure sees is found with the judge's next tick: let that come every second or so.
///
/// # How it works
///
/// A failed call raises a counter. If the evidence would not suffice even if nothing but these
/// failures had happened since the last look, all of them at the smallest of their weights, that is
/// all: some hundred nanoseconds, however many weights there were. Otherwise the
/// live counts are read, stable's failures with them, and the evidence is calculated in full. So an
/// outage that hits both channels does not trip the guard, and the promise is that of the judge:
/// since an e-process may be looked at any time, looking here as well costs nothing of `alpha`.
///
/// # How to wire it
///
/// 1. Make it from the judge, with a function that reads the live counts (`CanaryHandle::counts`).
/// 2. Call [`canary_failed`](Self::canary_failed) whenever a call of the canary's has failed or was
///    spilled, *after* it was counted. If it returns a [`Trip`], halt the canary: it does so once.
/// 3. After each tick call [`follow`](Self::follow) with the judge and the snapshot it has
///    observed.
///
/// The hook is one closure, shared by all threads:
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use canary_analysis::{Judge, Levels, Monitor};
/// use canary_core::{Counts, EpochCounts, Snapshot, Weight};
///
/// # let weight = Weight::from_percent(1);
/// # let epoch = EpochCounts::new(1, weight, Counts::default());
/// # let live = Arc::new(Mutex::new(Snapshot::new(Counts::default(), vec![epoch])));
/// # let fail = { let live = live.clone(); move || {
/// #     let counts = &mut live.lock().unwrap().epochs[0].counts.evidence.canary;
/// #     (counts.picked, counts.failure) = (counts.picked + 1, counts.failure + 1);
/// # } };
/// let judge = Judge::try_new(Levels::default(), [Monitor::failures()])?;
/// let read = move || live.lock().unwrap().clone();
/// let guard = Arc::new(judge.guard(Snapshot::default(), read).expect("failures decide"));
///
/// let halted = Arc::new(Mutex::new(None));
/// let on_canary_failure = {
///     let (guard, halted) = (guard.clone(), halted.clone());
///     move |weight: Weight| {
///         if let Some(trip) = guard.canary_failed(weight) {
///             *halted.lock().unwrap() = Some(trip.to_string());
///         }
///     }
/// };
/// // The data plane counts each failed call, then calls the hook.
/// for _ in 0..2 {
///     fail();
///     on_canary_failure(weight);
/// }
/// assert_eq!(
///     halted.lock().unwrap().as_deref(),
///     Some("`failures` tripped the guard: 2 failed of 2 canary calls, 0 of 0 of stable's"),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Guard<R> {
    read: R,
    monitor: String,
    threshold: f64,
    tripped: AtomicBool,
    pending: PendingFailures,
    known: Mutex<GuardEvidence>,
}

/// The evidence, and the counts up to which it goes.
#[derive(Debug)]
pub(crate) struct GuardEvidence {
    comparison: ChannelComparison,
    logs: ComparisonLogRatios,
    until: Snapshot,
}

impl GuardEvidence {
    pub(crate) fn new(comparison: ChannelComparison, until: Snapshot) -> Self {
        Self { logs: comparison.log_ratios(), comparison, until }
    }

    /// The canary's failures that are in the evidence, but not in counts up to `until`.
    fn failures_beyond(&self, until: &Snapshot) -> impl Iterator<Item = (u64, Weight)> {
        self.until.epochs.iter().map(|epoch| {
            let failed = |epoch| failures(epoch).map_or(0, |tick| tick.adverse().canary);
            let then = until.epochs.iter().find(|then| then.epoch == epoch.epoch);
            (failed(epoch).saturating_sub(then.map_or(0, failed)), epoch.weight)
        })
    }
}

impl<R: Fn() -> Snapshot> Guard<R> {
    pub(crate) fn new(read: R, monitor: &str, known: GuardEvidence, threshold: f64) -> Self {
        Self {
            read,
            monitor: monitor.to_owned(),
            threshold,
            tripped: AtomicBool::new(false),
            pending: PendingFailures::new(),
            known: Mutex::new(known),
        }
    }

    /// Takes over the judge's evidence, which goes up to the counts of `until`.
    ///
    /// Failures that came after that and are known here already are not forgotten.
    pub fn follow(&self, judge: &Judge, until: Snapshot) {
        let Some(comparison) = judge.comparison(&self.monitor) else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (calls, weight) in known.failures_beyond(&until) {
            self.pending.add(calls, weight);
        }
        *known = GuardEvidence::new(comparison.clone(), until);
    }

    /// Takes note that a call of the canary's, assigned at `weight`, has failed and was counted.
    ///
    /// Returns a [`Trip`] the first time that the evidence suffices, and never again.
    ///
    /// It never waits: if another thread is looking, that thread looks once more on its behalf. A
    /// failure that meets [`follow`](Self::follow) is looked at with the next one.
    pub fn canary_failed(&self, weight: Weight) -> Option<Trip> {
        // Sequentially consistent, like the load after the lock is released: either the thread that
        // holds the lock sees this failure there, or this thread finds the lock free.
        self.pending.add(1, weight);
        loop {
            if self.tripped.load(Ordering::Acquire) {
                return None;
            }
            let mut known = match self.known.try_lock() {
                Ok(known) => known,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return None,
            };
            let seen = self.pending.load();
            let look = self.look(&mut known, seen);
            drop(known);
            let left = match look {
                Look::Trip(trip) => {
                    return Some(*trip).filter(|_| !self.tripped.swap(true, Ordering::AcqRel));
                }
                Look::Settled => 0,
                Look::Unsettled => seen.calls,
            };
            if self.pending.load().calls <= left {
                return None;
            }
        }
    }

    /// Whether the guard has tripped.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.tripped.load(Ordering::Acquire)
    }

    fn look(&self, known: &mut GuardEvidence, pending: FailureBatch) -> Look {
        let FailureBatch { calls, smallest } = pending;
        if known.logs.log_e_worse_after(SplitRatio::of(smallest), calls) < self.threshold {
            return Look::Unsettled;
        }
        let now = (self.read)();
        // Counts that went backwards are those of another process: the next tick will tell.
        let Ok(difference) = now.since(&known.until) else { return Look::Unsettled };
        difference
            .epochs
            .iter()
            .filter_map(failures)
            .for_each(|tick| known.comparison.observe_worse_only(&tick));
        known.logs = known.comparison.log_ratios();
        known.until = now;
        self.pending.settle(pending);
        let worse = Strength { log_e: known.comparison.log_e_worse(), threshold: self.threshold };
        if !worse.is_reached() {
            return Look::Settled;
        }
        let (monitor, evidence) = (self.monitor.clone(), known.comparison.whole.clone());
        Look::Trip(Box::new(Trip { monitor, evidence, worse }))
    }
}

impl Judge {
    /// A guard that lets canary calls which fail update the evidence at once, given how to `read`
    /// the live counts and `until` which snapshot of them the judge has observed: an empty one at
    /// first, and after a restart.
    ///
    /// None if no deciding monitor counts the failures of all calls: the guard watches nothing
    /// else. Monitors of a class, per key, and of other measures decide with the judge's ticks.
    #[must_use]
    pub fn guard<R: Fn() -> Snapshot>(&self, until: Snapshot, read: R) -> Option<Guard<R>> {
        let is_guarded = |monitor: &&Monitor| {
            *monitor.measure() == Measure::Failures
                && monitor.role() == Role::Decides
                && monitor.unit() == Unit::Calls
                && monitor.class().is_none()
        };
        let name = self.monitors().find(is_guarded)?.name();
        let evidence = GuardEvidence::new(self.comparison(name)?.clone(), until);
        Some(Guard::new(read, name, evidence, self.worse_threshold()))
    }
}

/// What came of a look.
enum Look {
    Trip(Box<Trip>),
    /// All that was pending is in the evidence, which does not suffice.
    Settled,
    /// What was pending still is.
    Unsettled,
}

/// The guard has found the canary degraded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trip {
    /// The monitor whose evidence it was.
    pub monitor: String,
    /// Its evidence.
    pub evidence: Evidence,
    /// How strong it was.
    pub worse: Strength,
}

impl std::fmt::Display for Trip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (calls, adverse) = (self.evidence.calls(), self.evidence.adverse());
        write!(
            f,
            "`{}` tripped the guard: {} failed of {} canary calls, {} of {} of stable's",
            self.monitor, adverse.canary, calls.canary, adverse.stable, calls.stable
        )
    }
}

#[cfg(test)]
mod tests;
