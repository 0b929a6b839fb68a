//! Who gets the canary, over real sockets: policies, real clients' cookies, and whole call chains.
//!
//! A test whose program the machine lacks says so and passes, unless `CANARY_TESTS_REQUIRE=1` is set.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod bad_input;
mod browser;
mod chain;
mod curl;
mod forced;
mod login;
mod rules;
mod shop;
mod sticky;
