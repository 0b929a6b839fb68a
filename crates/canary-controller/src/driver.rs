//! The task that runs the rollout of one canary.
//!
//! The [`Driver`] connects the state machine of `canary-rollout` to the data plane and the store.
//! Each tick and each command goes through the same steps:
//!
//! 1. [`decide`] and [`commands`] ask the state machine for a transition, on a copy of the rollout.
//! 2. [`save`] executes the actions that lower the weight, stores the rollout, and then executes
//!    the other actions.
//! 3. [`actions`] executes single actions on the data plane.
//!
//! [`load`] and [`reconcile`] follow changes from elsewhere: the store, other replicas, and the
//! application.

mod actions;
mod attempt_judge;
mod commands;
mod decide;
mod documents;
mod key_ledgers;
mod load;
mod plan_tasks;
mod reconcile;
mod run;
mod save;
mod variables;
mod waiting_keys;

pub(crate) use self::{
    attempt_judge::default_unit,
    documents::DocumentKeys,
    key_ledgers::is_counted_by_keys,
    run::{CommandRequest, Driver, DriverInputs, DriverSettings},
};
