//! For users of API Gateway: its SDKs and command line can control a canary.
//!
#![doc = include_str!("../docs/gateway.md")]

mod apply;
mod effect;
mod fault;
mod operation;
pub(crate) mod routes;
mod stage;
mod target;
mod translate;

pub(crate) use self::translate::translate;
