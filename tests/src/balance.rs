//! Checks that every call was counted, and once.

use std::time::Duration;

use tower_canary::{
    AssignmentReason, CanaryHandle, Channel,
    counts::{ChannelCounts, Counts},
};

/// Waits until no call is open, checks that the counts add up, and returns them.
///
/// # Panics
///
/// If a call stays open, or the counts do not add up.
pub async fn settled(canary: &CanaryHandle) -> Counts {
    for channel in Channel::ALL {
        let drain = canary.drain(channel);
        if tokio::time::timeout(PATIENCE, drain.ended()).await.is_err() {
            panic!("{} calls of {channel} never end: {:#?}", drain.open(), canary.counts().total());
        }
        assert_eq!(canary.open(channel), 0, "{channel}");
    }
    assert_balanced(canary);
    let total = canary.counts().total();
    for channel in Channel::ALL {
        assert_eq!(total.total(channel).in_flight(), 0, "{channel}: {total:#?}");
    }
    let canary = total.total(Channel::Canary);
    let taken_over = &total.excluded.stable.reasons;
    assert_eq!(taken_over[AssignmentReason::Spilled], canary.spilled, "{total:#?}");
    assert_eq!(taken_over[AssignmentReason::FellBack], canary.fell_back, "{total:#?}");
    total
}

/// Checks, at any moment, that
/// `picked = success + failure + cancelled + spilled + in flight` in each epoch and channel.
///
/// # Panics
///
/// If it is not so.
pub fn assert_balanced(canary: &CanaryHandle) {
    let snapshot = canary.counts();
    let epochs = snapshot.epochs.iter().map(|epoch| &epoch.counts);
    for counts in epochs.chain([&snapshot.retired]) {
        for channel in Channel::ALL {
            for counts in [&counts.evidence[channel], &counts.excluded[channel]] {
                let ChannelCounts { picked, success, failure, cancelled, spilled, .. } = *counts;
                let ended = success + failure + cancelled + spilled;
                assert!(ended <= picked, "{channel}: more calls ended than began: {counts:#?}");
                assert_eq!(counts.in_flight(), picked - ended, "{channel}: {counts:#?}");
            }
        }
    }
}

/// Longer than any call takes on a busy machine: it ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(60);
