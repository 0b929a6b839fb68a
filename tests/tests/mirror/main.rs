//! A mirror over real sockets: what it finds, and that callers of stable are not affected.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod app;
mod bodies;
mod comparison;
mod faulty_canary;
mod grpc;
mod mounts;
mod noise;
mod selection;
