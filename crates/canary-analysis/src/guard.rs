use std::sync::{
    Mutex, PoisonError, TryLockError,
    atomic::{AtomicBool, AtomicU32, Ordering},
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

/// Updates the evidence with each failed canary call, between the observations of the judge.
///
/// At weights up to 10 %, a canary that fails every call trips the guard with its second or third
/// call, at any traffic, if stable has no failures. (At 25 % it takes five calls, at 50 % nine:
/// with half of the traffic, three failures in a row are chance in one of eight cases.) Calls that
/// succeed cost nothing.
///
/// The guard watches the failures of all calls. Other monitors (of a class, per key, of another
/// measure) decide at the next observation of the judge, which should come about every second.
///
/// # How it works
///
/// A failed call increments a counter. Then the guard assumes the worst case: these failures are
/// the only calls since the last look, all at their smallest weight. If the evidence does not
/// suffice even then, nothing else happens. This takes a few hundred nanoseconds at any number of
/// weights. Otherwise the guard reads the live counts, including the failures of stable, and
/// calculates the full evidence. So an outage of both channels does not trip it. Its error rate is
/// that of the judge: an e-process can be read at any time, so the additional looks cost nothing of
/// `alpha`.
///
/// # Setup
///
/// 1. Create the guard with [`Judge::guard`] and a function that reads the live counts
///    (`CanaryHandle::counts`).
/// 2. Call [`canary_failed`](Self::canary_failed) for each failed canary call, and each for which
///    the canary was not ready, *after* it was counted. If it returns a [`Trip`], which it does at
///    most once, halt the canary.
/// 3. After each observation call [`follow`](Self::follow) with the judge and the snapshot that it
///    observed. If its monitor [starts](Monitor::starting_at_step) at a later step, also call it when
///    that step begins, with a snapshot of that moment.
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
/// // The data plane counts each failed call, then runs the hook.
/// for _ in 0..2 {
///     fail();
///     on_canary_failure(weight);
/// }
/// assert_eq!(
///     halted.lock().unwrap().as_deref(),
///     Some("`failures` tripped the guard: 2 of 2 canary calls failed, 0 of 0 stable calls"),
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Guard<R> {
    read: R,
    monitor: String,
    /// The threshold of a single guard.
    threshold: f64,
    /// The number of guards that share `alpha`.
    replicas: AtomicU32,
    tripped: AtomicBool,
    pending: PendingFailures,
    known: Mutex<GuardEvidence>,
}

/// The evidence, and the snapshot up to which it includes the counts.
#[derive(Debug)]
pub(crate) struct GuardEvidence {
    comparison: ChannelComparison,
    logs: ComparisonLogRatios,
    until: Snapshot,
    /// Whether the step of the monitor has not begun.
    is_waiting: bool,
}

impl GuardEvidence {
    pub(crate) fn new(comparison: ChannelComparison, until: Snapshot, is_waiting: bool) -> Self {
        Self { logs: comparison.log_ratios(), comparison, until, is_waiting }
    }

    /// Returns the canary failures that are in the evidence but not in the snapshot `until`.
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
            replicas: AtomicU32::new(1),
            tripped: AtomicBool::new(false),
            pending: PendingFailures::new(),
            known: Mutex::new(known),
        }
    }

    /// Divides `alpha` among the guards of this many replicas, at most 1,000. It is one at first.
    ///
    /// Each replica of a fleet has a guard, which follows the same judge and adds its own failures.
    /// Each of them can be wrong, so that each gets a part of `alpha`. Together, they are wrong with a
    /// probability of at most `alpha`, beside that of the judge. At weights up to 10 %, the guard of
    /// one of 50 replicas trips one or two calls later than that of a single process.
    pub fn set_replicas(&self, replicas: usize) {
        let replicas = u32::try_from(replicas).unwrap_or(u32::MAX).clamp(1, MAX_REPLICAS);
        self.replicas.store(replicas, Ordering::Relaxed);
    }

    /// Returns the log e-value at which this guard trips.
    fn threshold(&self) -> f64 {
        self.threshold + f64::from(self.replicas.load(Ordering::Relaxed)).ln()
    }

    /// Replaces the evidence with that of the judge, which includes the counts up to `until`.
    ///
    /// Failures that the guard has read after `until` are kept.
    pub fn follow(&self, judge: &Judge, until: Snapshot) {
        let Some(comparison) = judge.comparison(&self.monitor) else { return };
        let is_waiting = judge.waits(&self.monitor);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (calls, weight) in known.failures_beyond(&until) {
            self.pending.add(calls, weight);
        }
        *known = GuardEvidence::new(comparison.clone(), until, is_waiting);
    }

    /// Adds a failed canary call that was assigned at `weight`. The data plane must have counted
    /// it.
    ///
    /// Returns a [`Trip`] the first time that the evidence suffices, and `None` afterwards.
    ///
    /// It never blocks. If another thread is looking, that thread looks again on its behalf. A
    /// failure during [`follow`](Self::follow) is included at the next failure.
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

    /// Returns the name of the monitor that the guard runs.
    #[must_use]
    pub fn monitor(&self) -> &str {
        &self.monitor
    }

    /// Returns whether the guard has tripped.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.tripped.load(Ordering::Acquire)
    }

    fn look(&self, known: &mut GuardEvidence, pending: FailureBatch) -> Look {
        // These failures stay pending: the first one after the beginning of the step has them read,
        // so that one at that very moment is not missed.
        if known.is_waiting {
            return Look::Unsettled;
        }
        let FailureBatch { calls, smallest } = pending;
        let threshold = self.threshold();
        if known.logs.log_e_worse_after(SplitRatio::of(smallest), calls) < threshold {
            return Look::Unsettled;
        }
        let now = (self.read)();
        // Lower counts come from another process. The judge handles them at its next observation.
        let Ok(difference) = now.since(&known.until) else { return Look::Unsettled };
        difference
            .epochs
            .iter()
            .filter_map(failures)
            .for_each(|tick| known.comparison.observe_worse_only(&tick));
        known.logs = known.comparison.log_ratios();
        known.until = now;
        self.pending.settle(pending);
        let worse = Strength { log_e: known.comparison.log_e_worse(), threshold };
        // The blocks of time are those of the judge's last look.
        if !worse.is_reached() || !known.comparison.is_worse_confirmed() {
            return Look::Settled;
        }
        let (monitor, evidence) = (self.monitor.clone(), known.comparison.whole.clone());
        Look::Trip(Box::new(Trip { monitor, evidence, worse }))
    }
}

impl Judge {
    /// Creates a guard. `read` returns the live counts. `until` is the snapshot up to which the
    /// judge has observed them: an empty one at first and after a restart.
    ///
    /// Of several monitors of the failures of all calls that decide, the guard runs the one that
    /// [starts](Monitor::starting_at_step) first. It does not trip before that step.
    ///
    /// Returns `None` if no deciding monitor watches the failures of all calls.
    #[must_use]
    pub fn guard<R: Fn() -> Snapshot>(&self, until: Snapshot, read: R) -> Option<Guard<R>> {
        let is_guarded = |monitor: &&Monitor| {
            *monitor.measure() == Measure::Failures
                && monitor.role() == Role::Decides
                && monitor.unit() == Unit::Calls
                && monitor.class().is_none()
                && monitor.limit().is_none()
        };
        // On a tie, `min_by_key` returns the first one.
        let monitor = self.monitors().filter(is_guarded).min_by_key(|it| it.starting_step())?;
        let name = monitor.name();
        let comparison = self.comparison(name)?.clone();
        let evidence = GuardEvidence::new(comparison, until, self.is_waiting(monitor));
        Some(Guard::new(read, name, evidence, self.worse_threshold(monitor)))
    }
}

/// More replicas than that share no smaller parts: odds of 10^5 : 1 are proof for a single guard.
const MAX_REPLICAS: u32 = 1_000;

/// The result of a look at the evidence.
enum Look {
    Trip(Box<Trip>),
    /// The pending failures are in the evidence, which does not suffice.
    Settled,
    /// The failures are still pending.
    Unsettled,
}

/// The evidence that tripped a guard.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trip {
    /// The name of the monitor.
    pub monitor: String,
    /// The evidence of the monitor.
    pub evidence: Evidence,
    /// The strength of the evidence that the canary is worse.
    pub worse: Strength,
}

impl std::fmt::Display for Trip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (calls, adverse) = (self.evidence.calls(), self.evidence.adverse());
        write!(
            f,
            "`{}` tripped the guard: {} of {} canary calls failed, {} of {} stable calls",
            self.monitor, adverse.canary, calls.canary, adverse.stable, calls.stable
        )
    }
}

#[cfg(test)]
mod tests;
