use canary_core::PerChannel;

use crate::{
    evidence::{Evidence, Tally},
    monitor::{Monitor, Unit},
    sample_ratio::SampleRatioTest,
    split_e_process::SplitEProcess,
    split_ratio::SplitRatio,
};

/// The counts of which evidence is made.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct StoredEvidence {
    events: Events,
    /// Stable's number, then the canary's.
    calls: [u64; 2],
    adverse: [u64; 2],
    /// All trials, then the adverse ones.
    trials: [u64; 2],
}

impl StoredEvidence {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let Tally { calls, adverse } = evidence.tally;
        Self {
            adverse: [adverse.stable, adverse.canary],
            trials: [evidence.good.trials, evidence.good.adverse],
            ..Self::new(evidence.split(), calls)
        }
    }

    pub(super) fn of_share(share: &SampleRatioTest) -> Self {
        Self::new(&share.split, share.picks)
    }

    fn new<const N: usize>(odds: &SplitEProcess<N>, calls: PerChannel<u64>) -> Self {
        Self {
            events: stored(odds),
            calls: [calls.stable, calls.canary],
            adverse: [0; 2],
            trials: [0; 2],
        }
    }

    /// None if the counts contradict each other.
    pub(super) fn restore(&self, monitor: &Monitor) -> Option<Evidence> {
        let [trials, adverse_trials] = self.trials;
        let (calls, adverse) = (channels(self.calls), channels(self.adverse));
        let tally = Tally { calls, adverse };
        let odds = self.odds()?;
        // A key counts once as seen and as hit, but is tossed at several weights, and may be hit
        // before it is seen.
        if monitor.unit() == Unit::Calls {
            let tossed = odds.total();
            let is_part = |part: PerChannel<u64>, whole: PerChannel<u64>| {
                part.stable <= whole.stable && part.canary <= whole.canary
            };
            if !is_part(tossed, adverse) || !is_part(adverse, calls) || adverse_trials > trials {
                return None;
            }
        }
        Some(Evidence::restored((monitor.margins(), monitor.unit()), &odds, tally, self.trials))
    }

    /// None if the counts contradict each other.
    pub(super) fn restore_share(&self) -> Option<SampleRatioTest> {
        let odds = self.odds()?;
        let (tossed, picks) = (odds.total(), self.calls);
        if tossed.stable > picks[0] || tossed.canary > picks[1] {
            return None;
        }
        let mut share = SampleRatioTest::new();
        share.split.merge(&odds);
        share.picks = channels(self.calls);
        Some(share)
    }

    fn odds(&self) -> Option<SplitEProcess<1>> {
        restored(&self.events)
    }
}

/// The coin's two numbers of buckets, then stable's events and the canary's.
pub(super) type Events = Vec<(u32, u32, u64, u64)>;

pub(super) fn stored<const N: usize>(odds: &SplitEProcess<N>) -> Events {
    let parts = |(split, events): (SplitRatio, PerChannel<u64>)| {
        (split.canary_buckets(), split.all_buckets(), events.stable, events.canary)
    };
    odds.events().map(parts).collect()
}

/// None if there is no such coin.
pub(super) fn restored(events: &Events) -> Option<SplitEProcess<1>> {
    let mut odds = SplitEProcess::new(1.0, &[1.0]);
    for (canary, all, of_stable, of_canary) in events {
        let split = SplitRatio::try_new(*canary, *all).filter(|split| !split.is_certain())?;
        odds.observe(split, channels([*of_stable, *of_canary]));
    }
    Some(odds)
}

pub(super) const fn channels([stable, canary]: [u64; 2]) -> PerChannel<u64> {
    PerChannel { stable, canary }
}
