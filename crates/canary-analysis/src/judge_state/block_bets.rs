#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use crate::{
    block_bets::{Block, BlockBets, Payoffs, STEPS},
    burst_detector::BILLION,
    calm_rate::RateCounts,
    outage_history::OutageScan,
};

/// The bets on blocks of time.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(super) struct StoredBlockBets {
    /// Payoffs in 1/32, and the number of bets with each.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    signs: Vec<(i8, u64)>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    means: Vec<(i8, u64)>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    stable: RateCounts,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    canary: RateCounts,
    /// The milliseconds of the block so far, and all of them; its cap in billionths; then the
    /// longest outage of the canary in milliseconds.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    block: [u64; 4],
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    scan: OutageScan,
}

impl StoredBlockBets {
    pub(super) fn of(bets: &BlockBets) -> Self {
        let stored = |payoffs: &Payoffs| payoffs.0.iter().map(|(at, bets)| (*at, *bets)).collect();
        let Block { stable, canary, millis, lasts_millis, cap } = bets.block;
        Self {
            signs: stored(&bets.signs),
            means: stored(&bets.means),
            stable,
            canary,
            block: [millis, lasts_millis, cap, bets.longest_millis],
            scan: bets.scan,
        }
    }

    /// Returns `None` if the counts contradict each other.
    pub(super) fn restore(&self) -> Option<BlockBets> {
        let restored = |stored: &Vec<(i8, u64)>| {
            let payoffs = Payoffs(stored.iter().copied().collect());
            let is_valid = |(steps, bets): (&i8, &u64)| {
                (-STEPS..=STEPS).contains(steps) && *steps != 0 && *bets > 0
            };
            (payoffs.0.len() == stored.len() && payoffs.0.iter().all(is_valid)).then_some(payoffs)
        };
        let [millis, lasts_millis, cap, longest_millis] = self.block;
        let (stable, canary) = (self.stable, self.canary);
        let is_valid = stable.is_valid()
            && canary.is_valid()
            && cap <= BILLION
            && lasts_millis <= BlockBets::LONGEST_MILLIS
            && self.scan.is_valid();
        let block = Block { stable, canary, millis, lasts_millis, cap };
        let (signs, means) = (restored(&self.signs)?, restored(&self.means)?);
        is_valid.then_some(BlockBets { signs, means, block, scan: self.scan, longest_millis })
    }
}
