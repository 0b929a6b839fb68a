//! gRPC over real sockets, with tonic's clients.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod bypass;
mod calls;
mod drain;
mod feedback;
mod one_port;
mod optional;
mod outcomes;
mod panics;
mod time;
mod web;
