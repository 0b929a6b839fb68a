use std::{
    sync::{Arc as StdArc, OnceLock},
    time::Duration,
};

use canary_core::{
    AssignmentReason, Channel, ChannelCounts, Counts, Latencies, LatencyBucket, PerChannel,
    PerReason, Weight,
};

use crate::{
    config::canary_config::CanaryConfig,
    control::{callers::Callers, drain_signal::DrainSignal, epoch_settings::EpochSettings},
    counting::{
        call_end::CallEnd,
        call_key::CallKey,
        clock::TickInstant,
        counter_key::{CounterKey, Scope},
        key_activity::KeyActivity,
        key_shares::KeyShares,
        key_watch::KeyPlace,
        route_index::RouteIndex,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
    },
    select::StickyKey,
};

#[cfg(not(canary_loom))]
use crate::counting::unanswered::UnansweredCalls;

/// The counters of one epoch for the threads of one shard.
///
/// A call holds its counters from assignment to end, so it is counted in the epoch of its
/// assignment even if the weight changes. Everything that it needs is behind one pointer. The
/// alignment keeps two shards off the same cache line, and off the adjacent one, which x86
/// prefetches.
#[repr(align(128))]
pub(crate) struct ShardCounters {
    pub(crate) config: StdArc<CanaryConfig>,
    pub(crate) settings: StdArc<EpochSettings>,
    pub(crate) drain_signals: PerChannel<DrainSignal>,
    evidence: PerChannel<ChannelCounters>,
    /// Allocated by the first excluded call. Most canaries have none.
    excluded: OnceLock<Box<PerChannel<ChannelCounters>>>,
    /// Allocated by the first call with a key.
    key_shares: OnceLock<KeyShares>,
    /// The evidence of each route class, allocated by its first call.
    classes: Box<[OnceLock<Box<PerChannel<ChannelCounters>>>]>,
}

impl ShardCounters {
    pub(crate) fn new(
        config: StdArc<CanaryConfig>,
        settings: StdArc<EpochSettings>,
        drain_signals: PerChannel<DrainSignal>,
    ) -> Self {
        let classes = config.route_classes.names().iter().map(|_| OnceLock::new()).collect();
        Self {
            config,
            settings,
            drain_signals,
            evidence: PerChannel::from_fn(|_| ChannelCounters::new()),
            excluded: OnceLock::new(),
            key_shares: OnceLock::new(),
            classes,
        }
    }

    pub(crate) fn weight(&self) -> Weight {
        self.settings.weight
    }

    /// Counts the assignment of a call to `channel`, which waits for its answer since `started`.
    pub(crate) fn pick(
        &self,
        channel: Channel,
        reason: AssignmentReason,
        key: Option<CallKey>,
        route: Option<RouteIndex>,
        started: TickInstant,
    ) {
        let counter = CounterKey::new(channel, reason, route);
        if let Some(key) = key {
            self.record_key(key, counter, KeyActivity::PICKED);
        }
        self.count(counter, move |counters| counters.pick(reason, started));
    }

    /// Counts a call of a caller with this key, and returns whether it is evidence.
    pub(crate) fn admit(&self, key: StickyKey) -> bool {
        self.key_shares.get_or_init(KeyShares::new).admit(key, self.config.key_cap)
    }

    pub(crate) fn add_callers_to(&self, callers: &mut Callers) {
        if let Some(shares) = self.key_shares.get() {
            shares.add_to(callers);
        }
    }

    /// Counts for the route class of the call, if it has one, and then for the channel. The order
    /// matters because an epoch is closed once its channels have no call in flight.
    pub(crate) fn count(&self, counter: CounterKey, count: impl Fn(&ChannelCounters) + Copy) {
        if let (Scope::Evidence, Some(route)) = (counter.scope, counter.route) {
            self.count_in_class(route, counter.channel, count);
        }
        count(self.channel(counter.scope, counter.channel));
    }

    // Not inlined, so that a call without a route class does not save registers for it.
    #[inline(never)]
    fn count_in_class(
        &self,
        route: RouteIndex,
        channel: Channel,
        count: impl Fn(&ChannelCounters),
    ) {
        count(&self.classes[route.index()].get_or_init(new_counters)[channel]);
    }

    /// Records an event of a key, if keys are watched. Do this before counting the call, so that a
    /// reader of the counts also finds the event.
    pub(crate) fn record_key(
        &self,
        key: CallKey,
        CounterKey { channel, route, is_by_weight, .. }: CounterKey,
        activity: KeyActivity,
    ) {
        // The calls of a key that are capped are recorded too: a key counts once.
        if let (true, Some(keys)) = (is_by_weight, &self.settings.keys) {
            keys.record(KeyPlace { key, weight: self.weight(), channel, route }, activity);
        }
    }

    pub(crate) fn channel(&self, scope: Scope, channel: Channel) -> &ChannelCounters {
        match scope {
            Scope::Evidence => &self.evidence[channel],
            Scope::Excluded => &self.excluded()[channel],
        }
    }

    #[cold]
    #[inline(never)]
    fn excluded(&self) -> &PerChannel<ChannelCounters> {
        self.excluded.get_or_init(new_counters)
    }

    /// Returns the time in which stable sends the head of 99 % of its responses, as far as the
    /// threads of this shard have seen, or `None` if they have seen none.
    pub(crate) fn usual_latency(&self) -> Option<Duration> {
        let mut head = Latencies::default();
        self.evidence.stable.head.add_to(&mut head);
        head.quantile(0.99).map(LatencyBucket::lower_edge)
    }

    pub(crate) fn add_to(&self, counts: &mut Counts) {
        for channel in Channel::ALL {
            self.evidence[channel].add_to(&mut counts.evidence[channel]);
            if let Some(excluded) = self.excluded.get() {
                excluded[channel].add_to(&mut counts.excluded[channel]);
            }
        }
        for (name, class) in self.config.route_classes.names().iter().zip(&self.classes) {
            if let Some(class) = class.get() {
                let evidence = counts.classes.entry(name.clone()).or_default();
                for channel in Channel::ALL {
                    class[channel].add_to(&mut evidence[channel]);
                }
            }
        }
    }

    /// Returns the number of calls that were assigned to a channel.
    pub(crate) fn picked(&self, channel: Channel) -> u64 {
        let excluded = self.excluded.get();
        let excluded = excluded.map_or(0, |excluded| excluded[channel].reasons().total());
        self.evidence[channel].reasons().total() + excluded
    }

    pub(crate) fn in_flight(&self, channel: Channel) -> u64 {
        let excluded = self.excluded.get().map_or(0, |excluded| excluded[channel].in_flight());
        self.evidence[channel].in_flight() + excluded
    }
}

fn new_counters() -> Box<PerChannel<ChannelCounters>> {
    Box::new(PerChannel::from_fn(|_| ChannelCounters::new()))
}

/// The counters of one channel.
///
/// A reader that adds up the counters must never see more ended than picked calls. So a call's end
/// is counted with `Release` or stronger after its assignment, and a reader loads the ends with
/// `Acquire` or stronger before the assignments. Ends are counted with `SeqCst`, like the state of
/// a [`DrainSignal`], so that the end of the last call cannot be missed by a task that starts
/// waiting for it.
pub(crate) struct ChannelCounters {
    /// Assigned calls, by reason.
    picked: [AtomicU64; AssignmentReason::ALL.len()],
    /// Ended calls, by [`CallEnd`].
    ended: [AtomicU64; CallEnd::COUNT],
    panicked: AtomicU64,
    timed_out: AtomicU64,
    fell_back: AtomicU64,
    /// Allocated by the first call. Few processes have excluded calls.
    unanswered: OnceLock<Box<UnansweredCalls>>,
    head: Histogram,
    end: Histogram,
}

impl ChannelCounters {
    fn new() -> Self {
        Self {
            picked: std::array::from_fn(|_| AtomicU64::new(0)),
            ended: std::array::from_fn(|_| AtomicU64::new(0)),
            panicked: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            fell_back: AtomicU64::new(0),
            unanswered: OnceLock::new(),
            head: Histogram::new(),
            end: Histogram::new(),
        }
    }

    fn pick(&self, reason: AssignmentReason, started: TickInstant) {
        self.picked[reason as usize].fetch_add(1, Ordering::Relaxed);
        self.wait(started);
    }

    /// Counts that a call waits for its answer since `started`.
    pub(crate) fn wait(&self, started: TickInstant) {
        self.unanswered.get_or_init(Box::default).start(started);
    }

    /// Counts that a call got an answer, ended without one, or waits for its caller.
    pub(crate) fn answer(&self, started: TickInstant, at: TickInstant) {
        if let Some(unanswered) = self.unanswered.get() {
            unanswered.answer(started, at);
        }
    }

    pub(crate) fn panic(&self) {
        self.panicked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn time_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fall_back(&self) {
        self.fell_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn head(&self, latency: LatencyBucket) {
        self.head.record(latency);
    }

    /// Counts the end of a call whose channel did not respond to its end.
    pub(crate) fn end_untimed(&self, end: CallEnd) {
        self.ended[end as usize].fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn end(&self, end: CallEnd, latency: LatencyBucket) {
        if end.is_timed() {
            self.end.record(latency);
        }
        self.end_untimed(end);
    }

    fn add_to(&self, counts: &mut ChannelCounts) {
        let ended = |end: CallEnd| self.ended[end as usize].load(Ordering::Acquire);
        // Each counter is loaded once, so that no part exceeds its whole.
        let (client_made, shed) = (ended(CallEnd::ClientMade), ended(CallEnd::Shed));
        let cancelled_after_tag = ended(CallEnd::CancelledAfterTag);
        counts.success += ended(CallEnd::Success) + client_made;
        counts.client_made += client_made;
        counts.failure += ended(CallEnd::Failure);
        counts.cancelled += ended(CallEnd::Cancelled) + cancelled_after_tag;
        counts.cancelled_after_tag += cancelled_after_tag;
        counts.spilled += ended(CallEnd::NotReady) + shed;
        counts.shed += shed;
        counts.panicked += self.panicked.load(Ordering::Relaxed);
        counts.timed_out += self.timed_out.load(Ordering::Relaxed);
        counts.fell_back += self.fell_back.load(Ordering::Relaxed);
        self.end.add_to(&mut counts.end);
        self.head.add_to(&mut counts.head);
        // Before the assignments, so that no reader sees more unanswered than assigned calls.
        if let Some(unanswered) = self.unanswered.get() {
            counts.unanswered.merge(&unanswered.count(TickInstant::now()));
        }
        let reasons = self.reasons();
        counts.picked += reasons.total();
        for reason in AssignmentReason::ALL {
            counts.reasons[reason] += reasons[reason];
        }
    }

    fn reasons(&self) -> PerReason {
        PerReason::from_fn(|reason| self.picked[reason as usize].load(Ordering::Relaxed))
    }

    fn in_flight(&self) -> u64 {
        let ended: u64 = self.ended.iter().map(|ended| ended.load(Ordering::SeqCst)).sum();
        self.reasons().total() - ended
    }
}

/// The unanswered calls and the histograms are left out of the loom models of the control state,
/// which explore every order of every load. [`unanswered`](crate::counting::unanswered) has its own.
#[cfg(canary_loom)]
#[derive(Default)]
struct UnansweredCalls;

#[cfg(canary_loom)]
impl UnansweredCalls {
    fn start(&self, _: TickInstant) {}

    fn answer(&self, _: TickInstant, _: TickInstant) {}

    fn count(&self, _: TickInstant) -> canary_core::PerAge {
        canary_core::PerAge::default()
    }
}

#[cfg(canary_loom)]
struct Histogram;

#[cfg(canary_loom)]
impl Histogram {
    fn new() -> Self {
        Self
    }

    fn record(&self, _: LatencyBucket) {}

    fn add_to(&self, _: &mut Latencies) {}
}

#[cfg(not(canary_loom))]
struct Histogram([AtomicU64; LatencyBucket::COUNT]);

#[cfg(not(canary_loom))]
impl Histogram {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    fn record(&self, latency: LatencyBucket) {
        self.0[latency.index()].fetch_add(1, Ordering::Relaxed);
    }

    fn add_to(&self, latencies: &mut Latencies) {
        for (bucket, calls) in LatencyBucket::all().zip(&self.0) {
            latencies.add(bucket, calls.load(Ordering::Relaxed));
        }
    }
}

pub(crate) type SharedCounters = Arc<ShardCounters>;
