use std::{
    sync::{Arc as StdArc, Weak},
    time::Instant,
};

use canary_core::{AssignmentReason, Channel, Counts, EpochCounts, PerChannel, Snapshot, Weight};
use http::HeaderValue;

use crate::{
    config::canary_config::CanaryConfig,
    control::{callers::Callers, epoch::Epoch, epoch_settings::EpochSettings},
    counting::{
        call_key::CallKey,
        clock::{self, TickInstant},
        route_index::RouteIndex,
        shard_counters::SharedCounters,
        sync::{
            Arc, Current, Mutex,
            atomic::{AtomicBool, Ordering},
        },
    },
    select::{AssignmentRule, Selection, StickyKey, rng, salt::Salt},
    variables::sets::{BeforePromotion, VariableSets},
};

/// The shared state of a canary: the current epoch, which calls read, and the history of epochs.
///
/// A call reads the current epoch without a lock and writes nothing that other threads read.
/// Changes take the lock of the history, which serializes them.
///
/// The alignment keeps the reference count, which servers write for each call when they clone the
/// service, off the cache line that every call reads.
#[repr(align(128))]
pub(crate) struct ControlState {
    current: Current<Epoch>,
    /// Whether the current weight is full. Cheaper to read than the epoch.
    is_full: AtomicBool,
    config: StdArc<CanaryConfig>,
    shards: usize,
    history: Mutex<EpochHistory>,
}

/// The way in which a canary currently uses its weight.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SplitMode {
    /// Calls are split by the weight.
    Splitting,
    /// The canary is the new stable and serves every call.
    Promoted,
    /// The weight is zero until the halt is [lifted](crate::CanaryHandle::lift_halt).
    Halted {
        /// The reason given for the halt.
        reason: String,
    },
}

pub(crate) struct EpochHistory {
    pub(crate) mode: SplitMode,
    pub(crate) variables: VariableSets,
    pub(crate) before_promotion: Option<BeforePromotion>,
    /// The time of the controller's last decision.
    pub(crate) last_decision: Option<Instant>,
    /// The advice of the controller that owns the canary, if any.
    pub(crate) owner: Option<Weak<str>>,
    /// Epochs that may have calls in flight, oldest first. The last one is the current one.
    open: Vec<Arc<Epoch>>,
    /// The latest epochs that had calls and have none in flight, in the order in which they were closed,
    /// so that those that a reader has not seen are at the end.
    closed: Vec<EpochCounts>,
    /// The sum of the epochs that were removed from `closed`.
    retired: Counts,
}

impl ControlState {
    pub(crate) fn new(config: StdArc<CanaryConfig>, shards: usize) -> Self {
        // The first use of the clock calibrates it. No call should have to wait for that.
        clock::recalibrate();
        let release = config.releases.canary.as_ref();
        let salt = Salt::of_release(&config.name, release, config.sticky_hash.secret());
        let salt = StdArc::new(salt);
        let variables = config.variables.clone();
        let merged =
            variables.merge(config.parse_variables).unwrap_or_else(|error| panic!("{error}"));
        let settings = EpochSettings {
            weight: Weight::ZERO,
            is_halted: false,
            salt,
            keys: None,
            variables: StdArc::new(merged),
        };
        config.feedback.begin(&settings.salt, settings.weight);
        let epoch = Arc::new(Epoch::new(0, settings, StdArc::clone(&config), shards));
        let history = EpochHistory {
            mode: SplitMode::Splitting,
            variables,
            before_promotion: None,
            last_decision: None,
            owner: None,
            open: vec![Arc::clone(&epoch)],
            closed: Vec::new(),
            retired: Counts::default(),
        };
        Self {
            current: Current::new(epoch),
            is_full: AtomicBool::new(false),
            config,
            shards,
            history: Mutex::new(history),
        }
    }

    pub(crate) const fn config(&self) -> &StdArc<CanaryConfig> {
        &self.config
    }

    pub(crate) fn weight(&self) -> Weight {
        self.current.load().settings().weight
    }

    /// Returns whether the weight is full, so that the canary serves every call and stable may be
    /// gone.
    pub(crate) fn is_full(&self) -> bool {
        // Relaxed is enough: no other memory is read depending on this flag.
        self.is_full.load(Ordering::Relaxed)
    }

    pub(crate) fn callers(&self) -> Callers {
        self.current.load().callers()
    }

    pub(crate) fn settings(&self) -> EpochSettings {
        self.current.load().settings().clone()
    }

    /// Assigns a call to a channel and counts the assignment.
    pub(crate) fn assign(&self, select: impl FnOnce(&EpochSettings) -> Decision) -> Assigned {
        let epoch = self.current.load();
        let Decision { selection: Selection { rule, cookie }, route, caller } =
            select(epoch.settings());
        let counters = epoch.counters();
        // Before the channel is known, so that the cap cannot favor one.
        let is_capped = caller.is_some_and(|caller| !counters.admit(caller));
        let (channel, reason, key) = rule.resolve(epoch.settings());
        let reason = if is_capped { AssignmentReason::Capped } else { reason };
        let started = TickInstant::now();
        // Counted while the epoch is referenced: an epoch without references gets no more calls.
        counters.pick(channel, reason, key, route, started);
        Assigned { counters, started, channel, reason, key, route, cookie }
    }

    /// Reads or changes the history under its lock.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut EpochHistory, &Self) -> T) -> T {
        #[cfg(not(canary_loom))]
        let mut history = self.history.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        #[cfg(canary_loom)]
        let mut history = self.history.lock().unwrap();
        change(&mut history, self)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        clock::recalibrate();
        self.with(|history, _| {
            history.close_ended();
            let open = history.open.iter().map(|epoch| epoch.counts());
            let mut epochs: Vec<_> = history.closed.iter().cloned().chain(open).collect();
            epochs.sort_by_key(|epoch| epoch.epoch);
            Snapshot::new(history.retired.clone(), epochs)
                .with_ratings(self.config.feedback.ratings())
        })
    }

    /// Returns whether a snapshot would differ from an earlier one.
    pub(crate) fn has_changed_since(&self, before: &Snapshot) -> bool {
        let is_open = |epoch: &EpochCounts| {
            Channel::ALL.into_iter().any(|channel| epoch.counts.total(channel).in_flight() > 0)
        };
        if before.epochs.iter().any(is_open) {
            return self.snapshot() != *before;
        }
        clock::recalibrate();
        // Without open calls, each other count follows an assignment. An epoch that is not in the
        // snapshot has begun since, and one that was open then may be closed now.
        self.with(|history, _| {
            let open = history.open.iter().map(|epoch| (epoch.number(), epoch.picked()));
            let closed = history.closed.iter().map(|epoch| (epoch.epoch, picked(&epoch.counts)));
            open.chain(closed).any(|(number, picked_now)| {
                let counted = before.epochs.iter().find(|counted| counted.epoch == number);
                counted.is_none_or(|counted| picked(&counted.counts) != picked_now)
            })
        }) || !self.config.feedback.has_ratings(&before.ratings)
    }
}

/// Returns the number of calls that each channel was assigned.
fn picked(counts: &Counts) -> PerChannel<u64> {
    PerChannel::from_fn(|channel| counts.evidence[channel].picked + counts.excluded[channel].picked)
}

/// The decision on how to assign a call.
pub(crate) struct Decision {
    pub(crate) selection: Selection,
    pub(crate) route: Option<RouteIndex>,
    /// The caller whose part of the evidence is bounded, if the weight assigns the call.
    pub(crate) caller: Option<StickyKey>,
}

/// A call that was just assigned to a channel and counted.
pub(crate) struct Assigned {
    pub(crate) counters: SharedCounters,
    pub(crate) started: TickInstant,
    pub(crate) channel: Channel,
    pub(crate) reason: AssignmentReason,
    pub(crate) key: Option<CallKey>,
    pub(crate) route: Option<RouteIndex>,
    /// The cookie to set in the response.
    pub(crate) cookie: Option<Box<HeaderValue>>,
}

impl AssignmentRule {
    fn resolve(self, settings: &EpochSettings) -> (Channel, AssignmentReason, Option<CallKey>) {
        let at = |bucket| match settings.weight.admits(bucket) {
            true => Channel::Canary,
            false => Channel::Stable,
        };
        let by_key = |key: CallKey| (at(key.bucket()), key.reason(), Some(key));
        let unless_zero = |channel| match settings.weight {
            Weight::ZERO => Channel::Stable,
            _ => channel,
        };
        match self {
            Self::AtWeight if settings.keys.is_none() => {
                (at(rng::draw()), AssignmentReason::Random, None)
            }
            Self::AtWeight => by_key(CallKey::unique()),
            Self::Sticky(key) => by_key(CallKey::Sticky(key)),
            Self::Always(channel) => (unless_zero(channel), AssignmentReason::Rule, None),
            Self::Propagated(channel) => (unless_zero(channel), AssignmentReason::Propagated, None),
            Self::Forced(_) if settings.is_halted => {
                (Channel::Stable, AssignmentReason::Forced, None)
            }
            Self::Forced(channel) => (channel, AssignmentReason::Forced, None),
        }
    }
}

impl EpochHistory {
    /// Begins an epoch with new settings. Calls that start after this returns use them.
    pub(crate) fn begin(&mut self, control: &ControlState, settings: EpochSettings) {
        let number = self.open.last().map_or(0, |epoch| epoch.number() + 1);
        control.config.feedback.begin(&settings.salt, settings.weight);
        control.config.feedback.watch_keys(settings.keys.as_ref());
        let config = StdArc::clone(&control.config);
        control.is_full.store(settings.weight == Weight::FULL, Ordering::Relaxed);
        let epoch = Arc::new(Epoch::new(number, settings, config, control.shards));
        self.open.push(Arc::clone(&epoch));
        control.current.store(epoch);
        self.close_ended();
    }

    /// Returns the current epoch.
    pub(crate) fn in_force(&self) -> Option<&Arc<Epoch>> {
        self.open.last()
    }

    /// Returns the epochs before the current one that may have calls in flight.
    pub(crate) fn superseded(&self) -> &[Arc<Epoch>] {
        self.open.split_last().map_or(&[], |(_, superseded)| superseded)
    }

    pub(crate) fn in_flight(&self, channel: Channel) -> u64 {
        self.open.iter().map(|epoch| epoch.in_flight(channel)).sum()
    }

    /// Frees the counters of epochs whose calls have all ended, and keeps their counts.
    fn close_ended(&mut self) {
        let current = self.open.pop();
        self.open = std::mem::take(&mut self.open)
            .into_iter()
            .filter_map(|epoch| {
                // A thread that still references the epoch may be about to count a call in it.
                Arc::try_unwrap(epoch).map_or_else(Some, |epoch| {
                    // The canary is checked first: a call that spills is counted as in flight for
                    // stable before it is counted as ended for the canary.
                    if epoch.in_flight(Channel::Canary) > 0 || epoch.in_flight(Channel::Stable) > 0
                    {
                        return Some(Arc::new(epoch));
                    }
                    let counts = epoch.counts();
                    if counts.counts != Counts::default() {
                        // Few epochs have calls, and their counts are large.
                        self.closed.reserve_exact(1);
                        self.closed.push(counts);
                    }
                    None
                })
            })
            .chain(current)
            .collect();
        let excess = self.closed.len().saturating_sub(CLOSED_EPOCHS);
        for epoch in self.closed.drain(..excess) {
            self.retired.merge(&epoch.counts);
        }
    }
}

/// The number of closed epochs that a snapshot lists separately. A reader that takes a snapshot at
/// least once per eight closed epochs gets every count with its weight.
const CLOSED_EPOCHS: usize = 8;

#[cfg(all(test, canary_loom))]
mod loom_tests {
    use loom::thread;

    use super::*;
    use crate::{
        config::options::CanaryOptions,
        counting::{call_end::CallEnd, counter_key::Scope},
    };

    fn control() -> Arc<ControlState> {
        let config = CanaryOptions::new().into_config("loom".parse().unwrap());
        Arc::new(ControlState::new(StdArc::new(config), 1))
    }

    fn full(control: &ControlState) -> EpochSettings {
        EpochSettings { weight: Weight::FULL, ..control.settings() }
    }

    fn call(control: &ControlState) -> Channel {
        let key = StickyKey::from_hash(0);
        let Assigned { counters, channel, .. } = control.assign(|_| Decision {
            selection: Selection::sticky(key),
            route: None,
            caller: None,
        });
        counters.channel(Scope::Evidence, channel).end_untimed(CallEnd::Cancelled);
        channel
    }

    #[test]
    fn loom_a_weight_change_loses_no_count() {
        loom::model(|| {
            let control = control();
            let caller = thread::spawn({
                let control = Arc::clone(&control);
                move || call(&control)
            });
            control.with(|history, control| history.begin(control, full(control)));
            let before = control.snapshot();
            let channel = caller.join().unwrap();
            let after = control.snapshot();
            assert_eq!(control.has_changed_since(&before), after != before);

            assert_eq!(after.total().evidence[channel].cancelled, 1);
            let epoch = if channel == Channel::Canary { 1 } else { 0 };
            let counted = after.epochs.iter().find(|counts| counts.epoch == epoch).unwrap();
            assert_eq!(counted.counts.evidence[channel].picked, 1);
            after.since(&before).expect("counts never decrease");
        });
    }

    #[test]
    fn loom_a_call_that_starts_after_a_weight_change_sees_the_new_weight() {
        loom::model(|| {
            let control = control();
            let done = Arc::new(crate::counting::sync::atomic::AtomicU64::new(0));
            let operator = thread::spawn({
                let (control, done) = (Arc::clone(&control), Arc::clone(&done));
                move || {
                    control.with(|history, control| history.begin(control, full(control)));
                    done.store(1, Ordering::Release);
                }
            });
            let is_done = done.load(Ordering::Acquire) == 1;
            let channel = call(&control);
            assert!(!is_done || channel == Channel::Canary);
            operator.join().unwrap();
        });
    }

    #[test]
    fn loom_a_snapshot_never_has_more_ended_than_assigned_calls() {
        loom::model(|| {
            let control = control();
            let caller = thread::spawn({
                let control = Arc::clone(&control);
                move || call(&control)
            });
            let counts = control.snapshot().total().evidence.stable;
            assert!(counts.ended() <= counts.picked);
            caller.join().unwrap();
        });
    }
}
