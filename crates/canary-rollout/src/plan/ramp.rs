//! Steps that a plan defines by a formula.

use std::time::Duration;

use canary_core::Weight;
use serde::{Deserialize, Serialize};

use super::step::MAX_STEPS;
use crate::serialize;

/// Steps that rise by the same weight.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Linear {
    /// The weight of the first step, and the increment of the following ones.
    #[serde(with = "serialize::weight")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub(crate) by: Weight,
    /// The minimum duration of each step.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub(crate) every: Duration,
    /// The maximum weight of the steps.
    #[serde(with = "serialize::weight", default = "full")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub(crate) to: Weight,
}

/// Steps that rise by the same factor.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Exponential {
    /// The weight of the first step.
    #[serde(with = "serialize::weight")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub(crate) from: Weight,
    /// The factor between two steps; 2 by default.
    #[serde(default = "two")]
    pub(crate) factor: u32,
    /// The minimum duration of each step.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub(crate) every: Duration,
    /// The maximum weight of the steps.
    #[serde(with = "serialize::weight", default = "full")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub(crate) to: Weight,
}

impl Linear {
    /// Returns the invalid field and the message, if it has no steps or does not rise.
    pub(crate) fn fault(&self) -> Option<(&'static str, String)> {
        range_fault(("by", self.by), self.to)
    }

    pub(crate) fn steps(&self) -> Vec<(Weight, Duration)> {
        let next = |weight: u32| weight.saturating_add(self.by.ppm());
        steps(self.by, self.to, self.every, next)
    }
}

impl Exponential {
    /// Returns the invalid field and the message, if it has no steps or does not rise.
    pub(crate) fn fault(&self) -> Option<(&'static str, String)> {
        if self.factor < 2 {
            return Some(("factor", format!("expected at least 2, found {}", self.factor)));
        }
        range_fault(("from", self.from), self.to)
    }

    pub(crate) fn steps(&self) -> Vec<(Weight, Duration)> {
        let next = |weight: u32| weight.saturating_mul(self.factor);
        steps(self.from, self.to, self.every, next)
    }
}

fn range_fault(
    (field, first): (&'static str, Weight),
    to: Weight,
) -> Option<(&'static str, String)> {
    if first == Weight::ZERO || first == Weight::FULL {
        return Some((field, format!("expected a weight above 0% and below 100%, found {first}")));
    }
    (to < first).then(|| ("to", format!("{to} is below `{field}`, which is {first}")))
}

/// Returns the steps below 100%. Stops at one step more than a plan may have, which the check of
/// the plan reports.
fn steps(
    from: Weight,
    to: Weight,
    every: Duration,
    next: impl Fn(u32) -> u32,
) -> Vec<(Weight, Duration)> {
    let mut steps = Vec::new();
    let mut ppm = from.ppm();
    while let Ok(weight) = Weight::try_from_ppm(ppm)
        && weight < Weight::FULL
        && weight <= to
        && steps.len() <= MAX_STEPS
    {
        steps.push((weight, every));
        ppm = next(ppm);
    }
    steps
}

const fn full() -> Weight {
    Weight::FULL
}

const fn two() -> u32 {
    2
}
