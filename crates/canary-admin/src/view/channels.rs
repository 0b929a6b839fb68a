use canary_api::{ChannelView, PerChannel};
use canary_controller::Status;
use canary_core::{Channel, LatencyBucket};

use super::millis;
use crate::recorder::Rates;

pub(super) fn channels(
    status: &Status,
    rates: &canary_core::PerChannel<Rates>,
) -> PerChannel<ChannelView> {
    let counts = status.counts.total();
    let releases = status.rollout.releases();
    let channel = |channel: Channel| {
        let release = match channel {
            Channel::Stable => &releases.stable,
            Channel::Canary => &releases.canary,
        };
        let (counts, rates) = (counts.total(channel), &rates[channel]);
        let latency = |bucket: Option<LatencyBucket>| bucket.map(|it| millis(it.midpoint()));
        ChannelView {
            release: release.to_string(),
            calls_per_second: rates.calls_per_second,
            failure_rate: rates.failure_rate,
            p50_ms: latency(rates.p50),
            p99_ms: latency(rates.p99),
            open: status.open[channel],
            calls: counts.ended(),
            failed: counts.compared_failures(),
            cancelled: counts.cancelled,
            client_made: counts.client_made,
        }
    };
    PerChannel { stable: channel(Channel::Stable), canary: channel(Channel::Canary) }
}
