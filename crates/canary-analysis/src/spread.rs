use crate::{calm_rate::RateCounts, log_space::float};

/// How much the rates of blocks of time differ.
///
/// If the chance of a call to fail is always the same, the numbers of failures in blocks differ by
/// chance alone. Trouble that comes and goes makes them differ more. This shows waves that never
/// leave a calm block, for which the calmest one is no measure of what is usual.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(from = "(u64, RateCounts, u64)", into = "(u64, RateCounts, u64)")
)]
pub(crate) struct Spread {
    blocks: u64,
    /// The counts of all blocks.
    pub(crate) counts: RateCounts,
    /// The sum of the squared adverse events of each block per call, in millionths.
    squares: u64,
}

impl From<(u64, RateCounts, u64)> for Spread {
    fn from((blocks, counts, squares): (u64, RateCounts, u64)) -> Self {
        Self { blocks, counts, squares }
    }
}

impl From<Spread> for (u64, RateCounts, u64) {
    fn from(Spread { blocks, counts, squares }: Spread) -> Self {
        (blocks, counts, squares)
    }
}

/// How sure it has to be that rates differ by more than chance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Certainty {
    /// A healthy verdict is not given. Among services with the same rate at all times, one in a
    /// hundred or so looks like this.
    Suspected,
    /// A healthy verdict is withdrawn.
    Certain,
}

impl Spread {
    pub(crate) fn add_block(&mut self, block: RateCounts) {
        let adverse = u128::from(block.adverse);
        let square = (adverse * adverse).saturating_mul(MILLION) / u128::from(block.calls.max(1));
        self.blocks = self.blocks.saturating_add(1);
        self.counts.add(block);
        self.squares = self.squares.saturating_add(u64::try_from(square).unwrap_or(u64::MAX));
    }

    pub(crate) const fn merge(&mut self, other: Self) {
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.counts.add(other.counts);
        self.squares = self.squares.saturating_add(other.squares);
    }

    /// Returns whether the rates differ by more than chance.
    pub(crate) fn is_beyond_chance(&self, certainty: Certainty) -> bool {
        self.deviations()
            > match certainty {
                Certainty::Suspected => 2.5,
                Certainty::Certain => 4.0,
            }
    }

    /// Returns by how many standard deviations the variance of the blocks exceeds that of chance.
    ///
    /// This is Pearson's test of equal rates. Its statistic has the mean `n - 1` for `n` blocks, and
    /// the variance `(n - 1) * (2 + 1/m)` if the blocks have `m` events on average.
    fn deviations(&self) -> f64 {
        let Some(rate) = self.counts.rate().filter(|rate| (f64::EPSILON..1.0).contains(rate))
        else {
            return 0.0;
        };
        let freedom = float(self.blocks.saturating_sub(1));
        let sum = float(self.squares) / 1e6 - float(self.counts.adverse) * rate;
        let excess = sum / (rate * (1.0 - rate)) - freedom;
        let events = float(self.counts.adverse) / float(self.blocks);
        if freedom > 0.0 { excess / (freedom * (2.0 + 1.0 / events)).sqrt() } else { 0.0 }
    }
}

const MILLION: u128 = 1_000_000;

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use rand_distr::{Binomial, Distribution};

    use super::*;

    fn spread_of(seed: u64, rates: impl Fn(u32) -> f64) -> Spread {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut spread = Spread::default();
        for at in 0..180 {
            let adverse = Binomial::new(500, rates(at)).unwrap().sample(&mut rng);
            spread.add_block(RateCounts { calls: 500, adverse });
        }
        spread
    }

    #[test]
    fn equal_rates_are_rarely_suspected() {
        for rate in [0.001, 0.01, 0.2] {
            let spreads: Vec<_> = (0..1_000).map(|seed| spread_of(seed, |_| rate)).collect();
            let number = |certainty| {
                spreads.iter().filter(|spread| spread.is_beyond_chance(certainty)).count()
            };
            assert!(number(Certainty::Suspected) <= 25, "{rate}");
            assert!(number(Certainty::Certain) <= 2, "{rate}");
        }
    }

    #[test]
    fn waves_are_found() {
        for seed in 0..100 {
            let wave = spread_of(seed, |at| if at % 6 < 3 { 0.02 } else { 0.04 });
            assert!(wave.is_beyond_chance(Certainty::Certain), "{seed}");
        }
    }

    #[test]
    fn extreme_counts_do_not_panic() {
        let mut spread = Spread::default();
        for (calls, adverse) in [(u64::MAX, u64::MAX), (0, 0), (1, u64::MAX), (u64::MAX, 0)] {
            spread.add_block(RateCounts { calls, adverse });
            spread.merge(spread);
            spread.is_beyond_chance(Certainty::Suspected);
        }
    }
}
