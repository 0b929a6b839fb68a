//! What the tests of the whole share.

/// The examples in the README and in pages that no crate's documentation includes.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../crates/tower-canary/docs/what-one-process-cannot-isolate.md")]
    struct WhatOneProcessCannotIsolate;
}
