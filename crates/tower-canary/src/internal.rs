//! Items that `tower-canary-mirror` shares with this crate.
//!
//! They are not part of the public API and can change in every release: `tower-canary-mirror`
//! requires the exact version of this crate that it was released with.

#[cfg(feature = "axum")]
pub use crate::axum::rematch::{Rematch, prepare};
#[cfg(feature = "metrics")]
pub use crate::metrics::publish::{Writer, add_publisher, published_to};
pub use crate::select::rng::draw;
pub use crate::service::panic::{Panicked, catch, discard};
#[cfg(feature = "tracing")]
pub use crate::service::span::MIRRORED;
