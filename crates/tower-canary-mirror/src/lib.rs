//! Mirrors: copies of stable's calls for a canary whose answers nobody gets.
#![doc = include_str!("../../docs/mirror.md")]

mod any_body;
mod ask;
mod compare;
mod counts;
mod exchange;
mod field_name;
mod fields;
mod future;
mod handle;
mod layer;
mod memory;
mod mirrored;
mod noise;
mod options;
mod queue;
mod recorded;
mod recording;
mod replay;
mod request_tap;
mod response_tap;
mod runtime;
mod select;
mod service;
pub(crate) mod span;
mod state;
mod ticket;

#[cfg(feature = "tokio")]
pub use self::runtime::Tokio;
#[cfg(feature = "metrics")]
pub(crate) use self::state::Mirror;
pub use self::{
    any_body::AnyBody,
    compare::{Answer, ByField, Compare, Comparison, FieldDifference, FieldPath, InvalidFieldPath},
    counts::{DropReason, Drops, MirrorCounts, NoiseCounts},
    fields::Difference,
    future::MirrorFuture,
    handle::MirrorHandle,
    layer::MirrorLayer,
    mirrored::Mirrored,
    noise::FieldCounts,
    options::MirrorOptions,
    runtime::{BoxFuture, Runtime},
    select::{SafeMethods, Select},
    service::MirrorService,
};
