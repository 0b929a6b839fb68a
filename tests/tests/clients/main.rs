//! Third-party clients: `curl`, a browser, and Python's grpcio.
//!
//! A test whose program is missing prints a message and passes. With `CANARY_TESTS_REQUIRE=1` it
//! fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod browser;
mod curl;
mod grpcio;
