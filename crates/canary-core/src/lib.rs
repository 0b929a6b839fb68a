//! The values of a canary release: what we ask for, what we saw, and how calls ended.
//!
//! A service runs in two versions, the two [`Channel`]s: *stable*, which served everybody so far, and
//! *canary*, the new one. The [`Weight`] is the share of calls we ask of the canary. A call is assigned
//! by a [`Bucket`], drawn at random or hashed from a key: it is the canary's if the weight
//! [admits](Weight::admits) the bucket. How a call ended is its [`Outcome`]; sums of outcomes are
//! [`Counts`], kept apart by the weight that was in force when the calls were assigned (a
//! [`Snapshot`] of [`EpochCounts`]). What no outcome shows, users and the application say by a
//! [`Rating`] of a call; their sums are [`Ratings`].
//!
//! This crate holds values only. It reads no clock, draws no random number, and does no I/O, so that
//! the data plane (`tower-canary`) and everything built on its counts share one vocabulary.
//!
//! ```
//! use canary_core::{Bucket, Weight};
//!
//! let weight: Weight = "0.1%".parse()?;
//! assert_eq!(weight.ppm(), 1_000);
//! assert!(weight.admits(Bucket::from_hash(0)));
//! assert!(!Weight::ZERO.admits(Bucket::from_hash(0)));
//! # Ok::<(), canary_core::ParseWeightError>(())
//! ```

mod bucket;
mod channel;
mod counts;
mod key_sample;
mod latencies;
mod name;
mod outcome;
mod rating;
mod ratings;
mod reason;
mod route_class;
mod snapshot;
mod verdict;
mod weight;

pub use self::{
    bucket::Bucket,
    channel::{Channel, PerChannel},
    counts::{ChannelCounts, Counts, CountsWentBackwards},
    key_sample::KeySample,
    latencies::{Latencies, LatencyBucket},
    name::{CanaryName, EventName, InvalidName, ReleaseId},
    outcome::Outcome,
    rating::Rating,
    ratings::{RatingCounts, Ratings, RatingsByWeight, TooManyEvents},
    reason::{AssignmentReason, PerReason},
    route_class::RouteClass,
    snapshot::{EpochCounts, Snapshot},
    verdict::Verdict,
    weight::{ParseWeightError, Weight, WeightRangeError},
};
