//! The options that hold a sick canary apart from stable, over real sockets.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod grpc;
mod http;
mod runtime;

use tower_canary::{
    CanaryOptions,
    select::{Incoming, Selection},
};

/// Assigns all calls to the canary, as evidence, at any weight but zero.
fn all_to_canary(options: CanaryOptions) -> CanaryOptions {
    options.select(|request: &Incoming<'_>| request.sticky_key("ann").map(Selection::sticky))
}

/// Less than full: at full weight nothing is shed and nothing falls back.
const ALMOST_ALL: tower_canary::Weight = tower_canary::Weight::from_ppm(999_999);
