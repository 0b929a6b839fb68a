use std::time::Duration;

use canary_controller::{Status, Timestamp};
use canary_core::{Channel, Latencies, LatencyBucket, PerChannel};

/// The counts of both channels at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Tallies {
    pub(crate) at: Timestamp,
    channels: PerChannel<Tally>,
}

/// The counts of one channel. They only grow.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    picked: u64,
    ended: u64,
    failed: u64,
    end: Latencies,
}

/// What a channel did during some time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// Ended calls per second.
    pub(crate) calls_per_second: f64,
    /// The fraction of ended calls that failed; `None` without ended calls.
    pub(crate) failure_rate: Option<f64>,
    /// The median time to the end of the response.
    pub(crate) p50: Option<LatencyBucket>,
    /// The 99th percentile of the time to the end of the response.
    pub(crate) p99: Option<LatencyBucket>,
}

impl Tallies {
    pub(crate) fn of(status: &Status) -> Self {
        let counts = status.counts.total();
        let channels = PerChannel::from_fn(|channel| {
            let counts = counts.total(channel);
            Tally {
                picked: counts.picked,
                ended: counts.ended(),
                failed: counts.compared_failures(),
                end: counts.end,
            }
        });
        Self { at: status.at, channels }
    }

    pub(crate) fn rates_since(&self, earlier: &Self) -> PerChannel<Rates> {
        let passed = self.at.since(earlier.at);
        PerChannel::from_fn(|channel| {
            self.channels[channel].rates_since(&earlier.channels[channel], passed)
        })
    }

    pub(crate) fn share_since(&self, earlier: &Self) -> Option<f64> {
        let picked = |channel: Channel| {
            self.channels[channel].picked.saturating_sub(earlier.channels[channel].picked)
        };
        let (stable, canary) = (float(picked(Channel::Stable)), float(picked(Channel::Canary)));
        (stable + canary > 0.0).then(|| canary / (stable + canary))
    }
}

impl Tally {
    fn rates_since(&self, earlier: &Self, passed: Duration) -> Rates {
        let ended = self.ended.saturating_sub(earlier.ended);
        let failed = self.failed.saturating_sub(earlier.failed);
        let mut end = Latencies::default();
        for bucket in LatencyBucket::all() {
            end.add(bucket, self.end.calls(bucket).saturating_sub(earlier.end.calls(bucket)));
        }
        let seconds = passed.as_secs_f64();
        Rates {
            calls_per_second: if seconds > 0.0 { float(ended) / seconds } else { 0.0 },
            failure_rate: (ended > 0).then(|| (float(failed) / float(ended)).min(1.0)),
            p50: end.quantile(0.5),
            p99: end.quantile(0.99),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for charts need not be exact")]
fn float(count: u64) -> f64 {
    count as f64
}
