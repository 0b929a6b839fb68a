//! The values of a canary release: weights, channels, outcomes and counts.
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
//!
//! A service runs in two versions, the [`Channel`]s *stable* and *canary*. The [`Weight`] is the
//! share of calls requested for the canary. Each call has a [`Bucket`], drawn at random or hashed
//! from a key, and goes to the canary if the weight [admits](Weight::admits) the bucket. Each call
//! ends with an [`Outcome`].
//!
//! Sums of outcomes are [`Counts`]. A [`Snapshot`] keeps them by the weight at which the calls were
//! assigned. [`Ratings`] by users and by the application add the faults that no outcome shows.
//!
//! This crate holds values only: it reads no clock, draws no random number and does no I/O. The
//! data plane (`tower-canary`) and the judge share these types.

mod age;
mod bucket;
mod channel;
mod counts;
mod key_sample;
mod latencies;
mod name;
mod outcome;
mod rating;
mod ratings;
mod readable_error;
mod reason;
mod secret;
mod snapshot;
mod sticky_secret;
mod verdict;
mod weight;

pub use self::{
    age::{Age, PerAge},
    bucket::Bucket,
    channel::{Channel, PerChannel},
    counts::{ChannelCounts, Counts, CountsWentBackwards},
    key_sample::KeySample,
    latencies::{Latencies, LatencyBucket},
    name::{CanaryName, EventName, InvalidName, ReleaseId, RouteClass},
    outcome::Outcome,
    rating::Rating,
    ratings::{RatingCounts, Ratings, RatingsByWeight, TooManyEvents},
    readable_error::fmt_with_causes,
    reason::{AssignmentReason, PerReason},
    secret::{InvalidSecret, Secret},
    snapshot::{EpochCounts, Snapshot},
    sticky_secret::{InvalidStickySecret, StickySecret},
    verdict::Verdict,
    weight::{ParseWeightError, Weight, WeightRangeError},
};
