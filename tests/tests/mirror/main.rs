//! A mirror over real sockets: its findings, and that it does not affect callers of stable.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod app;
mod bodies;
mod comparison;
mod faulty_canary;
mod grpc;
mod mounts;
mod noise;
mod selection;
