//! Canary releases inside the process.

mod assignment;
mod body;
mod bypass;
mod call;
mod classify;
mod config;
mod drain;
mod epoch;
mod future;
mod handle;
mod layer;
mod lifeline;
mod options;
mod panic;
mod protocol;
mod service;
mod span;
mod switch;
mod sync;
mod tags;
mod tally;
mod unify;

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tonic")]
mod tonic;

pub use canary_core::{
    Bucket, CanaryName, Channel, ChannelCounts, Counts, EpochCounts, InvalidName, Latencies,
    LatencyBucket, Outcome, ParseWeightError, PerChannel, ReleaseId, Snapshot, Weight,
};

pub use self::{
    assignment::{Assignment, Attached, Draining},
    body::ResponseBody,
    bypass::Bypass,
    classify::{Class, Classify, HeadClass, ServerErrors},
    drain::Drain,
    future::ResponseFuture,
    handle::{CanaryHandle, Halted},
    layer::CanaryLayer,
    options::CanaryOptions,
    protocol::Protocol,
    service::CanaryService,
    switch::Phase,
    tags::Tags,
    unify::{UnifiedBody, UnifyBody, UnifyFuture},
};
