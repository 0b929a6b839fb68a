//! The board of a fleet: each call is judged once, whatever happens to replicas and to the store.

#![allow(clippy::unwrap_used, reason = "test code")]

mod entries;
mod happenings;
mod model;

use canary_analysis::{Judge, Levels, Monitor};
use canary_core::{Counts, EpochCounts, Snapshot, Weight};
use canary_rollout::{
    fleet::{FleetCounts, UsedCounts},
    replica::ReplicaId,
};

fn id(number: u64) -> ReplicaId {
    ReplicaId::from_random(number)
}

/// Calls of the canary at this weight.
fn calls(ppm: u32, calls: u64) -> FleetCounts {
    let judge = Judge::try_new(Levels::default(), [Monitor::failures()]).unwrap();
    let mut counts = Counts::default();
    let canary = &mut counts.evidence.canary;
    (canary.picked, canary.success) = (calls, calls);
    let epoch = EpochCounts::new(1, Weight::from_ppm(ppm), counts);
    let mut sum = FleetCounts::default();
    sum.add(&Snapshot::new(Counts::default(), vec![epoch]), &UsedCounts::of(&judge));
    sum
}

fn at(counts: &FleetCounts, ppm: u32) -> u64 {
    counts.canary_calls(Weight::from_ppm(ppm))
}
