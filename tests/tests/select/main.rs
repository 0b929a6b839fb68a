//! Policies over real sockets, with cookies of real clients and call chains.
//!
//! A test whose program is missing prints a message and passes. With `CANARY_TESTS_REQUIRE=1` it
//! fails.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod bad_input;
mod browser;
mod chain;
mod curl;
mod forced;
mod login;
mod rules;
mod shop;
mod sticky;
