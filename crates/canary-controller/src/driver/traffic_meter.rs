use std::{collections::VecDeque, time::Duration};

use canary_core::{ChannelCounts, PerChannel, Snapshot};
use canary_rollout::outlook::Traffic;
use tokio::time::Instant;

/// Measures the traffic of this process, from its counts of compared calls.
#[derive(Debug)]
pub(super) struct TrafficMeter {
    /// The latest readings, oldest first, with at least [`RESOLUTION`] between them.
    readings: VecDeque<Reading>,
    latest: Reading,
}

/// Calls with a result that the weight assigned, since the start of the process.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    calls: u64,
    of_stable: u64,
    failures_of_stable: u64,
}

impl TrafficMeter {
    pub(super) fn new(counts: &Snapshot) -> Self {
        let first = Reading::of(counts);
        Self { readings: VecDeque::from([first]), latest: first }
    }

    pub(super) fn observe(&mut self, counts: &Snapshot) {
        self.latest = Reading::of(counts);
        let now = self.latest.at;
        if self.readings.back().is_none_or(|last| now - last.at >= RESOLUTION) {
            self.readings.push_back(self.latest);
        }
        // The oldest reading is at least as old as the window, once that much time has passed.
        while self.readings.get(1).is_some_and(|second| now - second.at >= WINDOW_OF_FAILURES) {
            self.readings.pop_front();
        }
    }

    /// Returns the traffic; `None` in the first ten seconds.
    pub(super) fn traffic(&self) -> Option<Traffic> {
        let oldest = self.readings.front()?;
        let is_in_window = |it: &&Reading| self.latest.at - it.at >= WINDOW_OF_CALLS;
        let before = self.readings.iter().rev().find(is_in_window).unwrap_or(oldest);
        let seconds = (self.latest.at - before.at).as_secs_f64();
        if seconds < RESOLUTION.as_secs_f64() {
            return None;
        }
        let calls = float(self.latest.calls.saturating_sub(before.calls));
        let of_stable = self.latest.of_stable.saturating_sub(oldest.of_stable);
        let failures = self.latest.failures_of_stable.saturating_sub(oldest.failures_of_stable);
        let rate = (failures < of_stable).then(|| float(failures) / float(of_stable));
        Traffic::try_new(calls / seconds, rate).ok()
    }
}

impl Reading {
    fn of(counts: &Snapshot) -> Self {
        // Not their total, which would copy the histograms.
        let all = || counts.epochs.iter().map(|epoch| &epoch.counts).chain([&counts.retired]);
        let sum = |count: fn(&PerChannel<ChannelCounts>) -> u64| {
            all().fold(0_u64, |sum, counts| sum.saturating_add(count(&counts.evidence)))
        };
        let of_stable = sum(|evidence| evidence.stable.compared_results());
        let of_canary = sum(|evidence| evidence.canary.compared_results());
        Self {
            at: Instant::now(),
            calls: of_stable.saturating_add(of_canary),
            of_stable,
            failures_of_stable: sum(|evidence| evidence.stable.compared_failures()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a relative error of 1e-16 is harmless")]
const fn float(count: u64) -> f64 {
    count as f64
}

const RESOLUTION: Duration = Duration::from_secs(10);

/// Short, so that an outlook follows a change of the traffic soon.
const WINDOW_OF_CALLS: Duration = Duration::from_secs(60);

/// Longer, because a service of one call per second has too few failures in a minute.
const WINDOW_OF_FAILURES: Duration = Duration::from_secs(600);
