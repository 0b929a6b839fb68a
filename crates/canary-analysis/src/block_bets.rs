use std::collections::BTreeMap;

use self::thinning::sign;
use crate::{
    background::{Background, Look},
    burst_detector::{BILLION, billionths},
    calm_rate::RateCounts,
    log_space::{float, ln_mean_exp, times},
    outage_history::{OutageHistory, OutageScan},
};

mod thinning;

/// The second proof of harm: bets on blocks of time, for services in which each channel has outages
/// of its own.
///
/// Each block is one bet, however many failures it has. Blocks are twice as long as the outages of
/// stable alone, weighted by their failures, and as any outage of the canary. So outages in two blocks
/// are nearly independent: an outage has to win seven blocks in a row by itself to prove harm. If, given
/// the past, the rates of the two channels in a block are exchangeable, neither bet wins on average:
///
/// - **Sign**: the canary has more failures than as many calls of stable, drawn at random. Its
///   payoff is the probability of fewer minus that of more. No random number is drawn.
/// - **Capped mean**: the difference of the rates, each at most a cap: the mean rate of a block that
///   has one of stable's own outages. The cap makes it hold for unequal channels too: with one pod
///   in place of ten, outages are rarer and deeper, the means are equal, and the mean of the capped
///   rate is lower.
///
/// Method: betting on bounded payoffs, Waudby-Smith and Ramdas, "Estimating means of bounded random
/// variables by betting" (JRSS B 2024). The wealth of each bet is the mean over fixed stakes, and the
/// proof is the mean of both. Payoffs are rounded down to 1/32, so that their numbers are the whole
/// state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BlockBets {
    pub(crate) signs: Payoffs,
    pub(crate) means: Payoffs,
    pub(crate) block: Block,
    /// The outages of the canary.
    pub(crate) scan: OutageScan,
    /// The longest outage of the canary that has ended.
    pub(crate) longest_millis: u64,
}

/// The block that is not complete.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Block {
    pub(crate) stable: RateCounts,
    pub(crate) canary: RateCounts,
    pub(crate) millis: u64,
    /// Its length, 0 before its first look. It depends on the looks before the block only.
    pub(crate) lasts_millis: u64,
    /// The cap of the rates, in billionths. It depends on the looks before the block only.
    pub(crate) cap: u64,
}

/// The number of bets with each payoff, in 1/32.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Payoffs(pub(crate) BTreeMap<i8, u64>);

impl Payoffs {
    #[expect(clippy::cast_possible_truncation, reason = "a payoff is within -1 to 1")]
    fn add(&mut self, payoff: f64) {
        let steps = (payoff.clamp(-1.0, 1.0) * f64::from(STEPS)).floor() as i8;
        // A payoff of zero changes nothing.
        if steps != 0 {
            let bets = self.0.entry(steps).or_default();
            *bets = bets.saturating_add(1);
        }
    }

    fn log_e(&self) -> f64 {
        ln_mean_exp(STAKES.map(|stake| {
            let log = |(steps, bets): (&i8, &u64)| {
                times(*bets, (stake * f64::from(*steps) / f64::from(STEPS)).ln_1p())
            };
            self.0.iter().map(log).sum()
        }))
    }
}

impl BlockBets {
    /// The longest block: ten minutes, for outages of five.
    pub(crate) const LONGEST_MILLIS: u64 = 600_000;

    /// Adds a look. The background does not include it yet.
    pub(crate) fn observe(&mut self, background: &Background, look: &Look<'_>) {
        if !look.is_split {
            return;
        }
        if self.block.lasts_millis == 0 {
            self.block = self.next_block(&background.state.history);
        }
        if let Some(millis) = background.scan_canary(&mut self.scan, look) {
            self.longest_millis = self.longest_millis.max(millis);
        }
        let block = &mut self.block;
        block.stable.add(look.stable());
        block.canary.add(look.canary());
        block.millis = block.millis.saturating_add(look.millis);
        if block.millis >= block.lasts_millis {
            self.bet();
            self.block = Block::default();
        }
    }

    fn bet(&mut self) {
        let Block { stable, canary, cap, .. } = self.block;
        if stable.calls == 0 || canary.calls == 0 {
            return;
        }
        self.signs.add(sign(stable, canary));
        let cap = (float(cap) / float(BILLION)).max(FEWEST_FAILURES / float(canary.calls)).min(1.0);
        let capped = |counts: RateCounts| counts.rate().unwrap_or(0.0).min(cap);
        self.means.add((capped(canary) - capped(stable)) / cap);
    }

    fn next_block(&self, history: &OutageHistory) -> Block {
        let own = history.own();
        let longest = own.length_millis().max(self.longest_millis);
        let lasts_millis = longest.saturating_mul(2).clamp(SHORTEST_MILLIS, Self::LONGEST_MILLIS);
        let part = float(own.millis) / float(own.outages.max(1)) / float(lasts_millis);
        let cap = billionths(own.counts.rate().unwrap_or(0.0) * part);
        Block { lasts_millis, cap, ..Block::default() }
    }

    /// Returns the evidence of harm: the odds against chance as a natural logarithm.
    pub(crate) fn log_e(&self) -> f64 {
        ln_mean_exp([self.signs.log_e(), self.means.log_e()])
    }
}

/// The parts of the wealth that are staked.
const STAKES: [f64; 7] = [0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.93];
/// Payoffs are multiples of 1/32.
pub(crate) const STEPS: i8 = 32;
/// With fewer failures on the canary, the capped mean would be a bet on single failures.
const FEWEST_FAILURES: f64 = 3.0;
const SHORTEST_MILLIS: u64 = 5_000;
