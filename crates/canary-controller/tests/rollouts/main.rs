//! Whole rollouts by a controller, in simulated time.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod external_changes;
mod outage;
mod per_key;
mod plans;
mod races;
mod restart;
mod route_classes;
mod store;
mod support;
mod webhooks;
mod weight_ownership;
mod whole_rollout;
