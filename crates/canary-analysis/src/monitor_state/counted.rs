//! The calls of an epoch that a monitor counts.

use canary_core::{ChannelCounts, EpochCounts, Latencies, LatencyBucket, PerChannel};

use crate::{adverse_counts::AdverseCounts, monitor::Measure, slow::Until};

/// Returns the failed calls of an epoch. Calls for which the canary was not ready count.
pub(crate) fn failures(epoch: &EpochCounts) -> Option<AdverseCounts> {
    adverse_counts(epoch, ChannelCounts::compared_results, ChannelCounts::compared_failures)
}

/// Returns the calls that this measure cannot count any more.
pub(super) fn settled(counts: &ChannelCounts, measure: &Measure) -> u64 {
    match measure {
        // A call of which the head has come may still be in flight.
        Measure::Slow(Until::Head, _) => {
            let without_head = counts.compared_cancelled().saturating_add(counts.panicked);
            let settled = counts.head.total().saturating_add(counts.spilled);
            settled.saturating_add(without_head)
        }
        _ => counts.ended(),
    }
}

pub(super) fn slow(
    epoch: &EpochCounts,
    until: Until,
    limits: PerChannel<LatencyBucket>,
) -> Option<AdverseCounts> {
    let slow = PerChannel::from_fn(|channel| {
        timed(&epoch.counts.evidence[channel], until).slower_than(limits[channel])
    });
    let calls = per_channel(epoch, |counts| timed(counts, until).total());
    // Never `None`, as below.
    AdverseCounts::try_new(epoch.weight, calls, slow).ok()
}

pub(super) fn adverse_counts(
    epoch: &EpochCounts,
    calls: impl Fn(&ChannelCounts) -> u64,
    adverse: impl Fn(&ChannelCounts) -> u64,
) -> Option<AdverseCounts> {
    // Never `None`: for each measure, the adverse calls are a part of the calls.
    AdverseCounts::try_new(epoch.weight, per_channel(epoch, calls), per_channel(epoch, adverse))
        .ok()
}

pub(super) fn per_channel(
    epoch: &EpochCounts,
    count: impl Fn(&ChannelCounts) -> u64,
) -> PerChannel<u64> {
    PerChannel::from_fn(|channel| count(&epoch.counts.evidence[channel]))
}

pub(super) const fn timed(counts: &ChannelCounts, until: Until) -> &Latencies {
    match until {
        Until::Head => &counts.head,
        Until::End => &counts.end,
    }
}

/// Returns the compared calls that are no longer in flight.
pub(super) const fn ended(counts: &ChannelCounts) -> u64 {
    counts.compared_results().saturating_add(counts.compared_cancelled())
}
