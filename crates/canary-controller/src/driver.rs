//! The task that runs the rollout of one canary.
//!
//! The decisions are those of the state machine [`Replica`](canary_rollout::replica::Replica). The
//! [`Driver`] connects it to the world:
//!
//! - [`run`] waits for ticks, commands, reports and changes of the store, and turns them into inputs.
//! - [`outputs`] carries out the outputs of the state machine, and passes it the results.
//! - [`documents`] and [`evidence`] are the documents in the store, [`data_plane`] is the canary.
//! - [`quiet`] leaves out ticks in which nothing can happen.
//! - [`attempt_judge`] judges the calls, [`learning`] is about the time without a rollout, [`plan_tasks`]
//!   runs probes and asks gates.

mod attempt_guard;
mod attempt_id;
mod attempt_judge;
mod board;
mod cached_judge;
mod data_plane;
mod decisions;
mod document_error;
mod documents;
mod evidence;
mod fleet;
mod in_force;
mod key_ledgers;
mod key_trials;
mod learning;
mod local_copy;
mod outputs;
mod own_counts;
mod own_document;
mod patient_store;
mod plan_tasks;
mod quiet;
#[cfg(test)]
mod random_numbers;
mod requests;
mod run;
mod store_health;
mod stored_evidence;
mod traffic_meter;
mod variables;
mod waiting_keys;
mod watched_keys;

pub(crate) use self::{
    attempt_judge::default_unit,
    documents::DocumentKeys,
    requests::{CommandRequest, PlanRequest, Request},
    run::{Driver, DriverInputs, DriverParts},
};

const TARGET: &str = "canary_controller";
