//! What the tests of the whole share.

mod balance;
mod client;
mod server;

pub use self::{
    balance::{assert_balanced, settled},
    client::{Answer, Client, channel_of, connect_http1, connect_http2},
    server::Server,
};

/// The examples in the README and in pages that no crate's documentation includes.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../crates/tower-canary/docs/axum-mounts.md")]
    struct AxumMounts;

    #[doc = include_str!("../../crates/tower-canary/docs/what-one-process-cannot-isolate.md")]
    struct WhatOneProcessCannotIsolate;
}
