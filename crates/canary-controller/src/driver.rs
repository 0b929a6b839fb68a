//! The task that runs the rollout of one canary.

mod actions;
mod attempt_judge;
mod commands;
mod documents;
mod key_ledgers;
mod reconcile;
mod run;
mod save;

pub(crate) use self::{
    documents::Keys,
    key_ledgers::kind,
    run::{Driver, Lines, Request, Settings},
};
