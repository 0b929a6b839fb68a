use std::sync::Arc as StdArc;

use canary_core::{Channel, Counts, EpochCounts, PerChannel};

use crate::{
    config::canary_config::Config,
    control::{
        drain_signal::{Lifeline, Stage},
        epoch_settings::Terms,
    },
    counting::{
        shard::shard,
        shard_counters::{SharedTally, Tally},
        sync::OnceLock,
    },
};

/// The time during which the same terms are in force, with the counts of the calls assigned in it.
pub(crate) struct Epoch {
    number: u64,
    terms: StdArc<Terms>,
    config: StdArc<Config>,
    stages: PerChannel<StdArc<Stage>>,
    /// One per shard, made when a thread first counts there.
    tallies: Box<[OnceLock<SharedTally>]>,
}

impl Epoch {
    pub(crate) fn new(number: u64, terms: Terms, config: StdArc<Config>, shards: usize) -> Self {
        Self {
            number,
            terms: StdArc::new(terms),
            config,
            stages: PerChannel::from_fn(|_| StdArc::default()),
            tallies: (0..shards).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) fn stage(&self, channel: Channel) -> &Stage {
        &self.stages[channel]
    }

    /// The tally of the calling thread's shard.
    pub(crate) fn tally(&self) -> SharedTally {
        // The number of shards is a power of two.
        let shard = shard() & (self.tallies.len() - 1);
        let tally = self.tallies[shard].get_or_init(|| {
            let lifelines =
                PerChannel::from_fn(|channel| Lifeline::new(StdArc::clone(&self.stages[channel])));
            let (config, terms) = (StdArc::clone(&self.config), StdArc::clone(&self.terms));
            SharedTally::new(Tally::new(config, terms, lifelines))
        });
        #[cfg_attr(not(canary_loom), expect(clippy::needless_borrow, reason = "loom's is boxed"))]
        SharedTally::clone(&tally)
    }

    /// Asks the open calls of `channel` to end.
    pub(crate) fn drain(&self, channel: Channel) {
        self.stages[channel].drain();
        self.notify(channel);
    }

    /// Makes the open calls of `channel` end.
    pub(crate) fn close(&self, channel: Channel) {
        self.stages[channel].close();
        self.notify(channel);
    }

    fn notify(&self, channel: Channel) {
        for tally in self.tallies.iter().filter_map(OnceLock::get) {
            tally.lifelines[channel].notify();
        }
    }

    pub(crate) fn in_flight(&self, channel: Channel) -> u64 {
        self.tallies.iter().filter_map(OnceLock::get).map(|tally| tally.in_flight(channel)).sum()
    }

    pub(crate) fn counts(&self) -> EpochCounts {
        let mut counts = Counts::default();
        for tally in self.tallies.iter().filter_map(OnceLock::get) {
            tally.add_to(&mut counts);
        }
        let weight = self.terms.weight;
        EpochCounts::new(self.number, weight, counts)
    }
}

/// Twice the number of cores, since the threads of a runtime are not the only ones that call, and
/// numbers are taken by whoever calls first.
pub(crate) fn default_shards() -> usize {
    let cores = std::thread::available_parallelism().map_or(8, usize::from);
    (2 * cores).next_power_of_two().min(MAX_SHARDS)
}

const MAX_SHARDS: usize = 128;
