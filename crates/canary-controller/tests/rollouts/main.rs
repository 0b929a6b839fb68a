//! Whole rollouts by a controller, in simulated time.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod outage;
mod owners;
mod plans;
mod races;
mod store;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/store.rs"]
mod test_store;
mod told;
