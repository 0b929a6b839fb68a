//! Third-party programs: `curl`, a browser, Python's grpcio, botocore, schemathesis and
//! kubernetes-validate, and nginx as a
//! shared cache.
//!
//! A test whose program is missing prints a message and passes. With `CANARY_TESTS_REQUIRE=1` it
//! fails.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod botocore;
mod browser;
mod control;
mod curl;
mod grpcio;
mod kubernetes;
mod nginx;
mod python;
mod schemathesis;
