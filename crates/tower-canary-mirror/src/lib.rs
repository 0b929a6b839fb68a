//! Mirrors: copies of stable's calls for a canary whose answers nobody gets.
#![doc = include_str!("../docs/mirror.md")]

mod any_body;
mod ask;
mod compare;
mod counts;
mod exchange;
mod field_name;
mod fields;
mod framing;
mod future;
mod handle;
mod layer;
mod memory;
#[cfg(feature = "metrics")]
pub mod metrics;
mod mirrored;
mod noise;
mod options;
mod panic;
mod queue;
mod recorded;
mod recording;
mod replay;
mod request_tap;
mod response_tap;
mod runtime;
mod select;
mod service;
mod span;
mod state;
mod ticket;
mod valid;

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
    runtime::{BoxFuture, Runtime, Tokio},
    select::{SafeMethods, Select},
    service::MirrorService,
};
