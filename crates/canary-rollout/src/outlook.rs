//! When a rollout will be promoted at the observed traffic, and what it would catch by then.

use std::{error, fmt, time::Duration};

use canary_analysis::{Judge, Unit};
use canary_core::Weight;
use serde::Serialize;

use crate::{
    dry_run::{Bound, of_all_failures},
    serialize,
    span::rough,
    state::phase::Phase,
    timestamp::Timestamp,
};

/// The traffic of a service.
///
/// ```
/// use canary_rollout::outlook::Traffic;
///
/// let traffic = Traffic::try_new(50.0, Some(0.01))?;
/// assert_eq!(
///     Traffic::try_new(-1.0, None).unwrap_err().to_string(),
///     "-1 calls per second: expected 0 to 10000000",
/// );
/// # let _ = traffic;
/// # Ok::<(), canary_rollout::outlook::InvalidTraffic>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Traffic {
    /// The calls per second on both channels.
    pub calls_per_second: f64,
    /// The fraction of calls that fail on stable; `None` if it is unknown.
    pub failure_rate: Option<f64>,
    /// What the judge counts, unless the plan says so itself. Only calls can be forecast.
    pub unit: Unit,
}

/// The outlook of a rollout, from [`Rollout::outlook`](crate::Rollout::outlook). It prints as one
/// sentence.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Outlook {
    /// The promotion.
    pub promotion: Promotion,
    /// The stages until then, the present one first.
    pub stages: Vec<StageOutlook>,
    /// The gates that are not open yet, in order. They are assumed to open at once.
    pub gates: Vec<String>,
    /// The smallest regression that is caught by then; `None` if it is unknown, or if even a canary
    /// that fails every call could be missed.
    pub caught: Option<Caught>,
}

/// The promotion in an [`Outlook`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Promotion {
    /// The promotion is at this time, if the canary is as good as stable, probes pass and gates open.
    At(Timestamp),
    /// The plan does not get there, for this reason.
    Never(Obstacle),
}

/// The reason why a plan does not reach its promotion.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Obstacle {
    /// The rollout has ended in this phase, or is about to.
    Ended(Phase),
    /// An operator has to decide, for this reason.
    Operator(String),
    /// The deadline of a stage passes before its conditions are met, or they are never met.
    Deadline {
        /// The stage, such as "step 2 of 5".
        stage: String,
        /// The condition that is missing.
        bound: Bound,
        /// The time that the condition needs; `None` if it is never met at this traffic.
        #[serde(with = "serialize::maybe_span")]
        needs: Option<Duration>,
        /// The deadline; `None` if the stage waits without one.
        #[serde(with = "serialize::maybe_span")]
        deadline: Option<Duration>,
    },
    /// The deadline of the whole rollout passes before.
    RolloutDeadline,
    /// It is unknown how long a stage needs for its proof: the failure rate of stable is unknown, or
    /// no monitor decides by the failures of all calls, counted by calls.
    UnknownProof {
        /// The stage, such as "step 2 of 5".
        stage: String,
    },
    /// The calendar stays closed for the next 400 days.
    Calendar,
}

/// A stage in an [`Outlook`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageOutlook {
    /// The stage, such as "step 2 of 5".
    pub stage: String,
    /// The weight.
    #[serde(with = "serialize::weight")]
    pub weight: Weight,
    /// The time at which the weight comes into force, or the present if it is.
    pub from: Timestamp,
    /// The time that its conditions still need, without gates.
    #[serde(with = "serialize::span")]
    pub takes: Duration,
    /// The condition that needs the longest.
    pub bound: Bound,
}

/// A regression that is caught with a probability of at least 95%. It prints as a noun phrase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Caught {
    /// The fraction of calls that fail on the canary.
    pub canary: f64,
    /// The fraction of calls that fail on stable.
    pub stable: f64,
}

impl Traffic {
    /// Creates the traffic of a service.
    ///
    /// # Errors
    ///
    /// Returns an error unless `calls_per_second` is at least 0 and at most 10 million, and
    /// `failure_rate` is at least 0 and below 1.
    pub fn try_new(
        calls_per_second: f64,
        failure_rate: Option<f64>,
    ) -> Result<Self, InvalidTraffic> {
        if !(0.0..=MAX_CALLS).contains(&calls_per_second) {
            return Err(InvalidTraffic::Calls(calls_per_second));
        }
        if let Some(rate) = failure_rate.filter(|rate| !(0.0..1.0).contains(rate)) {
            return Err(InvalidTraffic::Rate(rate));
        }
        Ok(Self { calls_per_second, failure_rate, unit: Unit::Calls })
    }

    /// Sets what the judge counts: keys if the policy of the layer may make calls sticky. The time of
    /// a proof by keys is unknown.
    #[must_use]
    pub const fn counted_by(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }
}

impl Caught {
    /// Returns the smallest regression of the failures of all calls that `judge` catches on a path of
    /// weights and durations, with a part for each step.
    pub(crate) fn on(path: &[(Weight, Duration)], judge: &Judge, traffic: Traffic) -> Option<Self> {
        let stable = traffic.failure_rate?;
        let monitor = of_all_failures(judge)?;
        let path = path.iter().copied().skip(monitor.starting_step() - 1);
        let forecast =
            judge.forecast(monitor.name(), traffic.calls_per_second, stable, path)?.ok()?;
        forecast.smallest_caught().map(|canary| Self { canary, stable })
    }
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (canary, stable) = (percent(self.canary), percent(self.stable));
        write!(f, "a canary that fails {canary} of calls, where stable fails {stable}")
    }
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.promotion {
            Promotion::At(at) => {
                write!(f, "promoted about {at}, if no more calls fail than on stable")?;
                match &*self.gates {
                    [] => {}
                    [gate] => write!(f, " and gate {gate:?} opens at once")?,
                    gates => {
                        let gates: Vec<_> = gates.iter().map(|gate| format!("{gate:?}")).collect();
                        write!(f, " and gates {} open at once", gates.join(", "))?;
                    }
                }
                match &self.caught {
                    Some(caught) => write!(f, "; {caught}, is caught by then"),
                    None => Ok(()),
                }
            }
            Promotion::Never(obstacle) => write!(f, "{obstacle}"),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(phase) => write!(f, "no further promotion: {phase}"),
            Self::Operator(reason) => {
                write!(f, "not promoted before an operator decides: {reason}")
            }
            Self::Deadline { stage, bound, needs, deadline } => {
                let bound = match bound {
                    Bound::Time => "its time",
                    Bound::Calls => "its calls",
                    Bound::Proof => "its proof",
                };
                write!(f, "not promoted at this traffic: {stage} ")?;
                match needs {
                    Some(needs) => write!(f, "needs {} for {bound}", rough(*needs))?,
                    None => write!(f, "never gets {bound}")?,
                }
                match deadline {
                    Some(deadline) => write!(f, ", and its deadline is {}", rough(*deadline)),
                    None => f.write_str(", and has no deadline"),
                }
            }
            Self::RolloutDeadline => f.write_str(
                "not promoted at this traffic: the deadline of the whole rollout passes before",
            ),
            Self::UnknownProof { stage } => {
                write!(
                    f,
                    "not known when it is promoted: {stage} needs a proof that only the failure rate \
                     of all calls can forecast"
                )
            }
            Self::Calendar => f.write_str("not promoted: the calendar stays closed"),
        }
    }
}

/// The error for traffic that is out of range. The message contains the value and the range.
#[derive(Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum InvalidTraffic {
    /// The calls per second are out of range.
    Calls(f64),
    /// The failure rate is out of range.
    Rate(f64),
}

impl fmt::Display for InvalidTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => {
                write!(f, "{calls} calls per second: expected 0 to {MAX_CALLS}")
            }
            Self::Rate(rate) => write!(f, "failure rate {rate}: expected at least 0 and below 1"),
        }
    }
}

impl error::Error for InvalidTraffic {}

canary_core::debug_as_display!(InvalidTraffic);

/// Formats a fraction in percent with two significant digits, rounded up, so that no regression is
/// claimed that is smaller than the forecast.
fn percent(fraction: f64) -> String {
    if fraction == 0.0 {
        return "no call".to_owned();
    }
    let percent = fraction * 100.0;
    let mut scale = 1.0;
    while percent * scale < 10.0 && scale < MAX_SCALE {
        scale *= 10.0;
    }
    // 10^-9 compensates for rounding: 2% must not become 2.1%.
    format!("{}%", (percent * scale - 1e-9).ceil() / scale)
}

const MAX_CALLS: f64 = 1e7;

/// No forecast is more precise.
const MAX_SCALE: f64 = 1e7;
