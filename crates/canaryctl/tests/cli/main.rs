//! The binary against the real server, over real sockets, with real rollouts.
#![expect(clippy::unwrap_used, reason = "test helpers")]

mod commands;
mod connection;
mod documents;
mod fleet;
mod history;
mod lost_responses;
mod plans;
mod support;
mod wait;
