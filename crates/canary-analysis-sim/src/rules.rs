//! Rules for when to roll back: the judge and three common rules.

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

/// A rule that sees each second of a rollout.
pub trait RollbackRule {
    /// Returns the verdict after this second. [`Verdict::Degraded`] ends the rollout.
    fn look(&mut self, second: &Second) -> Verdict;

    /// Observes a second before the rollout, in which stable serves all calls.
    fn before(&mut self, _second: &Second) {}
}

/// The judge of `canary-analysis` for failures, with the default margins and an `alpha` of 1 %.
#[must_use]
pub fn judge() -> Judged {
    Judged::default()
}

/// The same judge, with a restart at each step.
#[must_use]
pub fn judge_with_restarts() -> Judged {
    judge().with_restarts()
}

/// The judge of a default plan, as `Plan::judge` builds it: all its monitors, with restarts.
///
/// # Panics
///
/// Never, because the preset is a valid plan.
#[must_use]
pub fn default_plan() -> Judged {
    plan("preset = 'Canary10Percent5Minutes'")
}

/// The judge of this plan, in TOML.
///
/// # Panics
///
/// Panics if the plan is not valid.
#[must_use]
pub fn plan(toml: &str) -> Judged {
    Judged::of(canary_rollout::Plan::from_toml(toml).expect("the plan is valid").judge())
}

/// A limit of 1 % failures, checked each minute. The fifth failed check rolls back.
///
/// These are the defaults of Flagger, which counts failed checks and never resets the count.
#[must_use]
pub fn fixed_threshold() -> FixedThreshold {
    FixedThreshold::new(0.01, 5)
}

/// The Mann-Whitney test each minute, on the failure rates of the minutes so far, as in Kayenta's
/// judge: two-sided, with a confidence of 98 %. Higher rates of the canary roll back.
#[must_use]
pub fn mann_whitney() -> MannWhitney {
    MannWhitney::new(Direction::Increase)
}

/// The same test, except that lower rates of the canary roll back as well.
#[must_use]
pub fn mann_whitney_either_way() -> MannWhitney {
    MannWhitney::new(Direction::Either)
}

/// A one-sided test of two proportions each second, at a level of 1 %.
#[must_use]
pub fn repeated_z() -> RepeatedZ {
    RepeatedZ::default()
}
