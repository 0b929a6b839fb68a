//! Canaries in axum: where to apply the layer, and what each place costs.
//!
#![doc = include_str!("../../docs/axum-mounts.md")]

mod body;
mod extract;
mod rematch;
mod router;

pub use self::{
    body::{AxumBody, AxumBodyFuture},
    router::RouterExt,
};
pub(crate) use self::{rematch::Rematch, router::prepare};
