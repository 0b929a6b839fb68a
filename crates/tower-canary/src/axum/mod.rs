//! Canaries in axum.

mod body;
mod extract;
mod rematch;
mod router;

pub use self::{
    body::{AxumBody, AxumBodyFuture},
    router::RouterExt,
};
pub(crate) use self::{rematch::Rematch, router::prepare};
