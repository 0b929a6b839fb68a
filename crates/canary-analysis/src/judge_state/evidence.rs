use canary_core::PerChannel;

use crate::{
    evidence::{Evidence, Totals},
    monitor::{Monitor, Unit},
    sample_ratio::SampleRatioTest,
    split_e_process::{Alternatives, SplitEProcess},
    split_ratio::SplitRatio,
};

/// The counts that make up evidence.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct StoredEvidenceCounts {
    events: Events,
    /// Stable, then canary.
    calls: [u64; 2],
    adverse: [u64; 2],
    /// All trials, then the adverse ones.
    trials: [u64; 2],
}

impl StoredEvidenceCounts {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let Totals { calls, adverse } = evidence.totals;
        Self {
            adverse: [adverse.stable, adverse.canary],
            trials: [evidence.good.trials, evidence.good.adverse],
            ..Self::new(evidence.split(), calls)
        }
    }

    /// Returns events, calls and adverse calls. The trials are the canary's calls if no look was
    /// left out.
    pub(super) fn without_trials(self) -> (Events, [u64; 2], [u64; 2]) {
        (self.events, self.calls, self.adverse)
    }

    pub(super) fn with_trials_of_canary(
        (events, calls, adverse): &(Events, [u64; 2], [u64; 2]),
    ) -> Self {
        let trials = [calls[1], adverse[1]];
        Self { events: events.clone(), calls: *calls, adverse: *adverse, trials }
    }

    pub(super) fn of_sample_ratio(test: &SampleRatioTest) -> Self {
        Self::new(&test.split, test.picks)
    }

    fn new<const N: usize>(process: &SplitEProcess<N>, calls: PerChannel<u64>) -> Self {
        Self {
            events: stored(process),
            calls: [calls.stable, calls.canary],
            adverse: [0; 2],
            trials: [0; 2],
        }
    }

    /// Returns `None` if the counts contradict each other.
    pub(super) fn restore(&self, monitor: &Monitor) -> Option<Evidence> {
        self.restore_as(Evidence::of_monitor(monitor))
    }

    /// Adds the counts to empty evidence. Returns `None` if they contradict each other.
    pub(super) fn restore_as(&self, empty: Evidence) -> Option<Evidence> {
        let [trials, adverse_trials] = self.trials;
        let (calls, adverse) = (channels(self.calls), channels(self.adverse));
        let totals = Totals { calls, adverse };
        let events = restored(&self.events)?;
        // A key counts once as seen and once as adverse, but has events at several weights, and can
        // be adverse before it is seen.
        if empty.unit() == Unit::Calls {
            let assigned = events.total();
            let is_part = |part: PerChannel<u64>, whole: PerChannel<u64>| {
                part.stable <= whole.stable && part.canary <= whole.canary
            };
            if !is_part(assigned, adverse) || !is_part(adverse, calls) || adverse_trials > trials {
                return None;
            }
        }
        Some(Evidence::restored(empty, &events, totals, self.trials))
    }

    /// Returns `None` if the counts contradict each other.
    pub(super) fn restore_sample_ratio(&self) -> Option<SampleRatioTest> {
        let events = restored(&self.events)?;
        let (assigned, picks) = (events.total(), self.calls);
        if assigned.stable > picks[0] || assigned.canary > picks[1] {
            return None;
        }
        let mut test = SampleRatioTest::new();
        test.split.merge(&events);
        test.picks = channels(self.calls);
        Some(test)
    }
}

/// Canary buckets, all buckets, then events of stable and canary.
pub(super) type Events = Vec<(u32, u32, u64, u64)>;

pub(super) fn stored<const N: usize>(process: &SplitEProcess<N>) -> Events {
    let parts = |(split, events): (SplitRatio, PerChannel<u64>)| {
        (split.canary_buckets(), split.all_buckets(), events.stable, events.canary)
    };
    process.events().map(parts).collect()
}

/// For a process that only carries events.
static EVENTS_ONLY: Alternatives<1> = Alternatives::equal([1.0]);

/// Returns `None` if a split ratio is invalid.
pub(super) fn restored(events: &Events) -> Option<SplitEProcess<1>> {
    let mut process = SplitEProcess::new(1.0, &EVENTS_ONLY);
    for (canary, all, of_stable, of_canary) in events {
        let split = SplitRatio::try_new(*canary, *all).filter(|split| !split.is_certain())?;
        process.add_events(split, channels([*of_stable, *of_canary]));
    }
    Some(process)
}

pub(super) const fn channels([stable, canary]: [u64; 2]) -> PerChannel<u64> {
    PerChannel { stable, canary }
}
