//! Tests of the middleware through its public API.
#![allow(clippy::unwrap_used)]

mod changed_counts;
mod classify;
mod concurrency_limit;
mod drain;
mod early_call;
mod evidence_per_key;
mod failure_hook;
mod failures;
mod fallback;
mod key_watch;
mod modes;
mod outcomes;
mod public_types;
mod readiness;
mod response_bodies;
mod route_classes;
#[cfg(feature = "axum")]
mod routers;
#[cfg(feature = "tokio")]
mod runtime;
mod select;
mod split;
mod support;
#[cfg(feature = "tokio")]
mod time_limits;
#[cfg(all(feature = "axum", feature = "tokio"))]
mod uploads;
mod variables;
