//! The API of Amazon API Gateway for the canary of a stage, so that its clients can control a canary.

mod effect;
mod fault;
mod operation;
mod stage;
mod target;
