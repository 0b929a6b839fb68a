//! The options that isolate stable from a faulty canary, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod grpc;
mod http;
mod runtime;

use tower_canary::{
    CanaryOptions,
    select::{Incoming, Selection},
};

/// Assigns all calls to the canary, as evidence, at any weight above zero.
fn all_to_canary(options: CanaryOptions) -> CanaryOptions {
    options.select(|request: &Incoming<'_>| request.sticky_key("ann").map(Selection::sticky))
}

/// Below full weight, at which no call is shed or falls back.
const ALMOST_ALL: tower_canary::Weight = tower_canary::Weight::from_ppm(999_999);
