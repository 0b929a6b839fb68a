use canary_core::{Age, Channel, PerChannel, Weight};

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

/// Calls without an answer, which end later or never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) began: f64,
    pub(super) ends: f64,
    pub(super) step: u64,
    pub(super) weight: Weight,
    pub(super) channel: Channel,
    pub(super) ending: Ending,
}

impl Pending {
    /// Returns the ages that the call reaches without an answer in the second that ends at `now`.
    pub(super) fn reached(&self, now: f64) -> impl Iterator<Item = Age> {
        let (waited, lasts) = (now - self.began, self.ends - self.began);
        Age::ALL.into_iter().filter(move |age| {
            let after = age.duration().as_secs_f64();
            (after..after + 1.0).contains(&waited) && lasts > after
        })
    }

    /// Returns whether anything will be counted of the call after `now`.
    pub(super) fn is_counted_after(&self, now: f64) -> bool {
        let all_ages = Age::ALL.iter().all(|age| now - self.began >= age.duration().as_secs_f64());
        self.ends > now && !(all_ages && self.ends.is_infinite())
    }
}
