//! Servers, clients and checks for the tests of the whole system.

#![expect(clippy::missing_panics_doc, reason = "a helper that cannot continue fails its test")]

pub mod bench_rounds;
pub mod breakpoint;
pub mod broken_upload;
pub mod browser;
pub mod browser_page;
pub mod certificates;
mod client;
pub mod control_plane;
pub mod deployment;
pub mod echo;
pub mod etcd;
mod invariants;
pub mod outcomes;
pub mod postgres;
mod server;
pub mod skip;
pub mod task_server;
pub mod tcp_proxy;
pub mod timeout;

pub use self::{
    client::{Answer, Client, channel_of, connect_http1, connect_http1_at, connect_http2},
    invariants::{assert_counts_add_up, final_counts},
    server::Server,
};

/// Examples of the README and of pages that are not part of a crate's documentation.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../crates/canary-analysis/README.md")]
    struct CanaryAnalysisReadme;

    #[doc = include_str!("../../crates/canary-controller/README.md")]
    struct CanaryControllerReadme;

    #[doc = include_str!("../../crates/canary-core/README.md")]
    struct CanaryCoreReadme;

    #[doc = include_str!("../../crates/canary-rollout/README.md")]
    struct CanaryRolloutReadme;

    #[doc = include_str!("../../crates/tower-canary/README.md")]
    struct TowerCanaryReadme;

    #[doc = include_str!("../../crates/tower-canary/docs/what-one-process-cannot-isolate.md")]
    struct WhatOneProcessCannotIsolate;
}
