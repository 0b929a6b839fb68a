//! Rollouts by a controller, in simulated time.
#![expect(clippy::unwrap_used, reason = "test helpers")]

mod at_rest;
mod attacks;
mod baseline;
mod by_hand;
mod decisions;
mod external_changes;
mod fleet;
mod fleet_keys;
mod fleet_losses;
mod fleet_steps;
mod largest_plan;
mod later_monitor;
mod list;
mod local_copy;
mod lost_responses;
mod metrics;
mod observed;
mod outage;
mod per_key;
mod plans;
mod populations;
mod preview;
mod races;
mod restart;
mod route_classes;
mod several_builds;
mod several_processes;
mod store;
mod store_health;
mod support;
mod variables;
mod warm_up;
mod webhooks;
mod weight_ownership;
mod whole_rollout;
