//! What the tests of the whole share.

#![expect(clippy::missing_panics_doc, reason = "a helper that cannot go on fails its test")]

mod balance;
pub mod browser;
mod client;
pub mod deployment;
pub mod echo;
pub mod ended;
pub mod gate;
pub mod patience;
pub mod rounds;
mod server;
pub mod serving;
pub mod skip;

pub use self::{
    balance::{assert_balanced, settled},
    client::{Answer, Client, channel_of, connect_http1, connect_http1_at, connect_http2},
    server::Server,
};

/// The examples in the README and in pages that no crate's documentation includes.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../crates/tower-canary/docs/what-one-process-cannot-isolate.md")]
    struct WhatOneProcessCannotIsolate;
}
