use std::sync::Arc as StdArc;

use canary_core::{Channel, Counts, EpochCounts, PerChannel};

use crate::{
    config::canary_config::CanaryConfig,
    control::{
        callers::Callers,
        drain_signal::{DrainSignal, DrainState},
        epoch_settings::EpochSettings,
    },
    counting::{
        shard::shard,
        shard_counters::{ShardCounters, SharedCounters},
        sync::OnceLock,
    },
};

/// The time during which one set of settings is in force, with the counters of the calls assigned
/// in it.
pub(crate) struct Epoch {
    number: u64,
    settings: StdArc<EpochSettings>,
    config: StdArc<CanaryConfig>,
    drain_states: PerChannel<StdArc<DrainState>>,
    /// One per shard, allocated by the first call of a thread of that shard.
    counters: Box<[OnceLock<SharedCounters>]>,
}

impl Epoch {
    pub(crate) fn new(
        number: u64,
        settings: EpochSettings,
        config: StdArc<CanaryConfig>,
        shards: usize,
    ) -> Self {
        Self {
            number,
            settings: StdArc::new(settings),
            config,
            drain_states: PerChannel::from_fn(|_| StdArc::default()),
            counters: (0..shards).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn settings(&self) -> &EpochSettings {
        &self.settings
    }

    pub(crate) fn drain_state(&self, channel: Channel) -> &DrainState {
        &self.drain_states[channel]
    }

    /// Returns the counters of the current thread's shard.
    pub(crate) fn counters(&self) -> SharedCounters {
        // The number of shards is a power of two.
        let shard = shard() & (self.counters.len() - 1);
        let counters = self.counters[shard].get_or_init(|| {
            let drain_signals = PerChannel::from_fn(|channel| {
                DrainSignal::new(StdArc::clone(&self.drain_states[channel]))
            });
            let (config, settings) = (StdArc::clone(&self.config), StdArc::clone(&self.settings));
            SharedCounters::new(ShardCounters::new(config, settings, drain_signals))
        });
        #[cfg_attr(
            not(canary_loom),
            expect(clippy::needless_borrow, reason = "loom's `OnceLock` returns a box")
        )]
        SharedCounters::clone(&counters)
    }

    /// Asks the open calls of `channel` to end.
    pub(crate) fn drain(&self, channel: Channel) {
        self.drain_states[channel].drain();
        self.notify(channel);
    }

    /// Closes the open calls of `channel`.
    pub(crate) fn close(&self, channel: Channel) {
        self.drain_states[channel].close();
        self.notify(channel);
    }

    fn notify(&self, channel: Channel) {
        for counters in self.counters.iter().filter_map(OnceLock::get) {
            counters.drain_signals[channel].notify();
        }
    }

    pub(crate) fn in_flight(&self, channel: Channel) -> u64 {
        self.counters
            .iter()
            .filter_map(OnceLock::get)
            .map(|counters| counters.in_flight(channel))
            .sum()
    }

    /// Returns the number of calls that each channel was assigned.
    pub(crate) fn picked(&self) -> PerChannel<u64> {
        PerChannel::from_fn(|channel| {
            let shards = self.counters.iter().filter_map(OnceLock::get);
            shards.map(|counters| counters.picked(channel)).sum()
        })
    }

    pub(crate) fn callers(&self) -> Callers {
        let mut callers = Callers::none();
        for counters in self.counters.iter().filter_map(OnceLock::get) {
            counters.add_callers_to(&mut callers);
        }
        callers
    }

    pub(crate) fn counts(&self) -> EpochCounts {
        let mut counts = Counts::default();
        for counters in self.counters.iter().filter_map(OnceLock::get) {
            counters.add_to(&mut counts);
        }
        let weight = self.settings.weight;
        EpochCounts::new(self.number, weight, counts)
    }
}

/// Returns the default number of shards: twice the number of cores. Threads outside the runtime
/// make calls too, and shards are numbered in the order of the threads' first calls.
pub(crate) fn default_shards() -> usize {
    let cores = std::thread::available_parallelism().map_or(8, usize::from);
    (2 * cores).next_power_of_two().min(MAX_SHARDS)
}

const MAX_SHARDS: usize = 128;
