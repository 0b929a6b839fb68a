//! Rules for when to roll back: this crate's judge, and three rivals.

mod fixed_threshold;
mod judged;
mod mann_whitney;
mod repeated_z;

use canary_core::Verdict;

pub use self::{
    fixed_threshold::FixedThreshold,
    judged::Judged,
    mann_whitney::{Direction, MannWhitney},
    repeated_z::RepeatedZ,
};
use crate::second::Second;

/// Looks at each second of a rollout.
pub trait Rule {
    /// Says what the rule thinks after this second. [`Verdict::Degraded`] ends the rollout.
    fn look(&mut self, second: &Second) -> Verdict;
}

/// This crate's judge, watching failures with the default margins and an `alpha` of 1 %.
#[must_use]
pub fn judge() -> Judged {
    Judged::default()
}

/// The same judge, with a bet that begins afresh at each step.
#[must_use]
pub fn judge_with_restarts() -> Judged {
    judge().with_restarts()
}

/// At most 1 % failures, checked each minute; the fifth failed check rolls back.
///
/// So do Flagger's defaults: a failed check is counted and never forgotten.
#[must_use]
pub fn fixed_threshold() -> FixedThreshold {
    FixedThreshold::new(0.01, 5)
}

/// The Mann-Whitney test each minute, over the failure rates of the minutes so far, as Kayenta's
/// judge does with its time series: two-sided, at a confidence of 98 %, and the canary's rates are
/// higher.
#[must_use]
pub fn mann_whitney() -> MannWhitney {
    MannWhitney::new(Direction::Increase)
}

/// The same test, where lower rates of the canary's roll back as well.
#[must_use]
pub fn mann_whitney_either_way() -> MannWhitney {
    MannWhitney::new(Direction::Either)
}

/// A test of two proportions each second, one-sided, at a level of 1 %.
#[must_use]
pub fn repeated_z() -> RepeatedZ {
    RepeatedZ::default()
}
