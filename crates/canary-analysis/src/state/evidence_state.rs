use canary_core::PerChannel;

use crate::{
    coin::Coin,
    evidence::{Evidence, Tally},
    margins::Margins,
    odds::OddsBet,
    share::ShareEvidence,
};

/// The counts of which evidence is made.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct EvidenceState {
    /// The coin's two numbers of buckets, and the events of both channels.
    events: Vec<(u32, u32, u64)>,
    canary_events: u64,
    /// Stable's number, then the canary's.
    calls: [u64; 2],
    adverse: [u64; 2],
    /// All trials, then the adverse ones.
    trials: [u64; 2],
}

impl EvidenceState {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let Tally { calls, adverse, trials, adverse_trials } = evidence.tally;
        Self {
            adverse: [adverse.stable, adverse.canary],
            trials: [trials, adverse_trials],
            ..Self::new(evidence.odds(), calls)
        }
    }

    pub(super) fn of_share(share: &ShareEvidence) -> Self {
        Self::new(&share.odds, share.picks)
    }

    fn new<const N: usize>(odds: &OddsBet<N>, calls: PerChannel<u64>) -> Self {
        let parts =
            |(coin, events): (Coin, u64)| (coin.canary_buckets(), coin.all_buckets(), events);
        Self {
            events: odds.events().map(parts).collect(),
            canary_events: odds.canary(),
            calls: [calls.stable, calls.canary],
            adverse: [0; 2],
            trials: [0; 2],
        }
    }

    /// None if the counts contradict each other.
    pub(super) fn restore(&self, margins: Margins) -> Option<Evidence> {
        let [trials, adverse_trials] = self.trials;
        let (calls, adverse) = (channels(self.calls), channels(self.adverse));
        let tally = Tally { calls, adverse, trials, adverse_trials };
        Some(Evidence::restored(margins, &self.odds()?, tally))
    }

    /// None if the counts contradict each other.
    pub(super) fn restore_share(&self) -> Option<ShareEvidence> {
        let mut share = ShareEvidence::new();
        share.odds.merge(&self.odds()?);
        share.picks = channels(self.calls);
        Some(share)
    }

    fn odds(&self) -> Option<OddsBet<1>> {
        let mut left = self.canary_events;
        let mut odds = OddsBet::new(1.0, &[1.0]);
        for (canary, all, events) in &self.events {
            // Which coin the canary's events had does not matter, only how many there are.
            let of_canary = left.min(*events);
            left -= of_canary;
            let coin = Coin::try_new(*canary, *all).filter(|coin| !coin.is_certain())?;
            odds.observe(coin, of_canary, events - of_canary);
        }
        (left == 0).then_some(odds)
    }
}

const fn channels([stable, canary]: [u64; 2]) -> PerChannel<u64> {
    PerChannel { stable, canary }
}
