//! Canaries in axum.

mod extract;
mod rematch;
mod router;

pub use self::router::RouterExt;
pub(crate) use self::{rematch::Rematch, router::prepare};
