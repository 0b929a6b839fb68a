use crate::{calm_rate::RateCounts, log_space::float};

/// The products of adverse events of blocks, over the last 30 to 60 minutes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(from = "[u64; 29]", into = "[u64; 29]")
)]
pub(super) struct WaveSums {
    /// The block that is not complete.
    block: RateCounts,
    block_millis: u64,
    window: Window,
    /// The windows of this half hour, and of the one before.
    halves: [Totals; 2],
}

/// Blocks one after the other, outages left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Window {
    counts: RateCounts,
    millis: u64,
    /// The latest block, without calls if there is none.
    latest: RateCounts,
    /// The sums of `calls_i * calls_{i+1}`, and of the same for adverse events.
    neighbors: RateCounts,
    /// The sums of `calls_i^2`, and of the pairs of adverse events in one block.
    pairs: RateCounts,
    /// The triples of adverse events in one block.
    triples: u64,
}

/// The sums of windows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Totals {
    pub(super) counts: RateCounts,
    /// The products of adverse events of neighboring blocks.
    pub(super) neighbors: Sum,
    /// The ordered pairs of adverse events in one block.
    pub(super) pairs: Sum,
    /// The ordered triples of adverse events in one block.
    pub(super) triples: Sum,
}

/// A sum, and its expected value if the rate of each window was steady.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Sum {
    observed: u64,
    expected: u64,
}

impl WaveSums {
    pub(super) fn add(&mut self, counts: RateCounts, millis: u64) {
        self.block.add(counts);
        self.block_millis = self.block_millis.saturating_add(millis);
        if self.block_millis < BLOCK_MILLIS {
            return;
        }
        self.window.add(std::mem::take(&mut self.block), std::mem::take(&mut self.block_millis));
        if self.window.millis >= WINDOW_MILLIS {
            self.halves[0].add(std::mem::take(&mut self.window).totals());
        }
    }

    /// Forgets the half hour before this one.
    pub(super) fn begin_half(&mut self) {
        self.halves = [Totals::default(), self.halves[0]];
    }

    /// Returns the mean rate, 0 without calls.
    pub(super) fn mean_rate(&self) -> f64 {
        let mut counts = self.window.counts;
        self.halves.iter().for_each(|half| counts.add(half.counts));
        counts.rate().unwrap_or(0.0)
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.window.totals();
        self.halves.iter().for_each(|half| totals.add(*half));
        totals
    }

    pub(super) fn is_valid(&self) -> bool {
        let Window { counts, latest, .. } = self.window;
        [self.block, counts, latest].iter().all(|counts| counts.is_valid())
    }
}

impl Window {
    fn add(&mut self, block: RateCounts, millis: u64) {
        let RateCounts { calls, adverse } = block;
        let pairs = adverse.saturating_mul(adverse.saturating_sub(1));
        self.neighbors.add(RateCounts {
            calls: self.latest.calls.saturating_mul(calls),
            adverse: self.latest.adverse.saturating_mul(adverse),
        });
        self.pairs.add(RateCounts { calls: calls.saturating_mul(calls), adverse: pairs });
        let triples = pairs.saturating_mul(adverse.saturating_sub(2));
        self.triples = self.triples.saturating_add(triples);
        self.counts.add(block);
        self.latest = block;
        self.millis = self.millis.saturating_add(millis);
    }

    /// Given the number of events of the window, each is in block `i` with the probability `p_i`, the
    /// block's part of the calls.
    fn totals(&self) -> Totals {
        let Self { counts, neighbors, pairs, triples, .. } = *self;
        let adverse = float(counts.adverse);
        let part = |of_calls: u64| float(of_calls) / float(counts.calls.max(1)).powi(2);
        let in_pairs = adverse * (adverse - 1.0).max(0.0);
        // The sum of p^3 is the square of that of p^2 if the blocks have equally many calls, and close
        // to it otherwise.
        let in_triples = in_pairs * (adverse - 2.0).max(0.0) * part(pairs.calls).powi(2);
        Totals {
            counts,
            neighbors: Sum::new(neighbors.adverse, in_pairs * part(neighbors.calls)),
            pairs: Sum::new(pairs.adverse, in_pairs * part(pairs.calls)),
            triples: Sum::new(triples, in_triples),
        }
    }
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        for (sum, other) in [
            (&mut self.neighbors, other.neighbors),
            (&mut self.pairs, other.pairs),
            (&mut self.triples, other.triples),
        ] {
            sum.observed = sum.observed.saturating_add(other.observed);
            sum.expected = sum.expected.saturating_add(other.expected);
        }
    }
}

impl Sum {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    fn new(observed: u64, expected: f64) -> Self {
        Self { observed, expected: expected.round() as u64 }
    }

    /// Returns the sum as a multiple of its expected value, or `None` if nothing is expected.
    pub(super) fn ratio(self) -> Option<f64> {
        (self.expected > 0).then(|| float(self.observed) / float(self.expected))
    }

    /// Returns the standard deviation of the ratio if the rate is steady.
    pub(super) fn error(self) -> f64 {
        1.0 / float(self.expected).sqrt()
    }
}

impl From<WaveSums> for [u64; 29] {
    fn from(WaveSums { block, block_millis, window, halves }: WaveSums) -> Self {
        let Window { counts, millis, latest, neighbors, pairs, triples } = window;
        let mut stored = [0; 29];
        let (of_window, of_halves) = stored.split_at_mut(13);
        of_window.copy_from_slice(&[
            block.calls,
            block.adverse,
            block_millis,
            counts.calls,
            counts.adverse,
            millis,
            latest.calls,
            latest.adverse,
            neighbors.calls,
            neighbors.adverse,
            pairs.calls,
            pairs.adverse,
            triples,
        ]);
        for (part, Totals { counts, neighbors, pairs, triples }) in
            of_halves.chunks_exact_mut(8).zip(halves)
        {
            part.copy_from_slice(&[
                counts.calls,
                counts.adverse,
                neighbors.observed,
                neighbors.expected,
                pairs.observed,
                pairs.expected,
                triples.observed,
                triples.expected,
            ]);
        }
        stored
    }
}

impl From<[u64; 29]> for WaveSums {
    fn from(stored: [u64; 29]) -> Self {
        let counts = |at: usize| RateCounts { calls: stored[at], adverse: stored[at + 1] };
        let sum = |at: usize| Sum { observed: stored[at], expected: stored[at + 1] };
        let totals = |at: usize| Totals {
            counts: counts(at),
            neighbors: sum(at + 2),
            pairs: sum(at + 4),
            triples: sum(at + 6),
        };
        let window = Window {
            counts: counts(3),
            millis: stored[5],
            latest: counts(6),
            neighbors: counts(8),
            pairs: counts(10),
            triples: stored[12],
        };
        let halves = [totals(13), totals(21)];
        Self { block: counts(0), block_millis: stored[2], window, halves }
    }
}

/// As long as many bursts that are no waves, and short beside a wave of half a minute.
const BLOCK_MILLIS: u64 = 2_000;
/// Long beside a wave without a calm time, and short beside the drift of a service.
const WINDOW_MILLIS: u64 = 300_000;
