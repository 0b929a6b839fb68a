//! Canaries in axum: where to apply the layer, and the cost of each mount.
//!
#![doc = include_str!("../docs/axum-mounts.md")]

mod body;
mod extract;
#[cfg(feature = "feedback")]
mod feedback;
#[cfg(feature = "feedback")]
mod problem;
pub(crate) mod rematch;
pub(crate) mod router;

#[cfg(feature = "feedback")]
pub use self::feedback::{feedback, feedback_inside};
pub(crate) use self::rematch::{Rematch, prepare};
pub use self::{
    body::{AxumBody, ToAxumBody},
    router::RouterExt,
};
