//! Three shops that share a store, behind one load generator.
#![allow(clippy::unwrap_used)]

mod access;
mod backups;
mod crashes;
mod engine;
mod load;
mod outages;
mod page;
mod plans;
mod prometheus;
mod replicas;
mod rolling_update;
#[path = "../support/mod.rs"]
mod support;
mod users;
mod weights;

/// Returns the seed of a repetition: `CANARY_FLEET_SEED`, or a random one.
fn seed() -> u64 {
    std::env::var("CANARY_FLEET_SEED").map_or_else(
        |_| rand::random(),
        |seed| seed.parse().expect("CANARY_FLEET_SEED is a number"),
    )
}

/// Returns the number of repetitions: `CANARY_FLEET_ROUNDS`, or a few for a quick run.
fn rounds(quick: usize) -> usize {
    std::env::var("CANARY_FLEET_ROUNDS")
        .map_or(quick, |rounds| rounds.parse().expect("CANARY_FLEET_ROUNDS is a number"))
}
