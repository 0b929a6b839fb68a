//! Checks that every call is counted exactly once.

use tower_canary::{
    AssignmentReason, CanaryHandle, Channel,
    counts::{ChannelCounts, Counts},
};

use crate::timeout::TIMEOUT;

/// Drains both channels, waits until no call is open, checks the invariants of the counts, and
/// returns the counts.
///
/// # Panics
///
/// If a call stays open, or an invariant does not hold.
pub async fn final_counts(canary: &CanaryHandle) -> Counts {
    for channel in Channel::ALL {
        let drain = canary.drain(channel);
        if tokio::time::timeout(TIMEOUT, drain.ended()).await.is_err() {
            panic!(
                "{} calls of {channel} did not end: {:#?}",
                drain.open(),
                canary.counts().total()
            );
        }
        assert_eq!(canary.open(channel), 0, "{channel}");
    }
    assert_counts_add_up(canary);
    let total = canary.counts().total();
    for channel in Channel::ALL {
        assert_eq!(total.total(channel).in_flight(), 0, "{channel}: {total:#?}");
    }
    let canary = total.total(Channel::Canary);
    let reasons = &total.excluded.stable.reasons;
    assert_eq!(reasons[AssignmentReason::Spilled], canary.spilled, "{total:#?}");
    assert_eq!(reasons[AssignmentReason::FellBack], canary.fell_back, "{total:#?}");
    total
}

/// Checks that `picked = success + failure + cancelled + spilled + in flight` holds for each epoch
/// and channel. It must hold at any time.
///
/// # Panics
///
/// If it does not hold.
pub fn assert_counts_add_up(canary: &CanaryHandle) {
    let snapshot = canary.counts();
    let epochs = snapshot.epochs.iter().map(|epoch| &epoch.counts);
    for counts in epochs.chain([&snapshot.retired]) {
        for channel in Channel::ALL {
            for counts in [&counts.evidence[channel], &counts.excluded[channel]] {
                let ChannelCounts { picked, success, failure, cancelled, spilled, .. } = *counts;
                let ended = success + failure + cancelled + spilled;
                assert!(ended <= picked, "{channel}: more calls ended than started: {counts:#?}");
                assert_eq!(counts.in_flight(), picked - ended, "{channel}: {counts:#?}");
            }
        }
    }
}
