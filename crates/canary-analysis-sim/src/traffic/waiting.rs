use canary_core::{Channel, PerChannel, Weight};

use super::law::Law;

/// Calls that have no answer for a while, or never: hanging calls and streams.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an option with all its parts")]
pub struct Waiting {
    /// The fraction of the calls of each channel.
    pub part: PerChannel<f64>,
    /// The time until they end, or `None` if they never do.
    pub lasts: Option<Law>,
    /// How they end.
    pub ending: Ending,
}

/// The end of a [`Waiting`] call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ending {
    /// It succeeds, as a stream does.
    Success,
    /// It fails, as a call with a time limit does.
    Failure,
    /// Its caller cancels it.
    Cancelled,
}

/// Calls that end later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) ends: f64,
    pub(super) step: u64,
    pub(super) weight: Weight,
    pub(super) channel: Channel,
    pub(super) ending: Ending,
}
