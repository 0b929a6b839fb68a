//! A mirror, called over real sockets: what it finds, and that stable's callers never notice it.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod app;
mod bodies;
mod found;
mod grpc;
mod mounts;
mod noise;
mod selected;
mod sick;
