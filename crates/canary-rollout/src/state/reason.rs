use std::fmt;

use serde::{Deserialize, Serialize};

use crate::actor::Actor;

/// What a promotion rests on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warrant {
    /// The judge's verdict: healthy.
    Proof {
        /// The evidence in one sentence.
        evidence: String,
    },
    /// Somebody's word.
    Word {
        /// Whose.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// The plan says that it goes on at the deadline without proof.
    Deadline,
}

impl fmt::Display for Warrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proof { evidence } if evidence.is_empty() => f.write_str("proven healthy"),
            Self::Proof { evidence } => f.write_str(evidence),
            Self::Word { by, reason } if reason.is_empty() => write!(f, "on the word of {by}"),
            Self::Word { reason, .. } => f.write_str(reason),
            Self::Deadline => f.write_str("nothing proven at the deadline, and the plan goes on"),
        }
    }
}

/// Why a rollout is paused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pause {
    /// Somebody said so, or set a weight.
    Word {
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// The canary is degraded, and the plan says that a person decides: frozen.
    Degraded(Cause),
    /// A deadline was over with nothing proven.
    Deadline(Deadline),
    /// A gate said no, or nothing until its deadline.
    Gate {
        /// Its name.
        gate: String,
        /// What it said.
        said: String,
    },
    /// The last step is done, and the plan's maximum weight leaves the promotion to a person.
    Maximum,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word { by, reason } if reason.is_empty() => write!(f, "by {by}"),
            Self::Word { by, reason } => write!(f, "by {by}: {reason}"),
            Self::Degraded(cause) => write!(f, "frozen: {cause}"),
            Self::Deadline(deadline) => write!(f, "{deadline}"),
            Self::Gate { gate, said } => write!(f, "gate {gate:?}: {said}"),
            Self::Maximum => {
                f.write_str("the steps are done, and the plan leaves the promotion to a person")
            }
        }
    }
}

/// Which deadline is over.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Deadline {
    /// That of a step or of the bake, with proof missing.
    Proof,
    /// That of a step or of the bake, with calls missing.
    Calls,
    /// That of a step or of the bake, with a probe that has not passed.
    Probes,
    /// That of the whole rollout.
    Rollout,
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proof => "the deadline is over, and nothing is proven",
            Self::Calls => "the deadline is over, and the canary had too few calls",
            Self::Probes => "the deadline is over, and a probe has not passed",
            Self::Rollout => "the deadline of the whole rollout is over",
        })
    }
}

/// Why a rollout went back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The judge found the canary degraded.
    Degraded {
        /// The evidence in one sentence.
        evidence: String,
    },
    /// A probe failed too often.
    Probe {
        /// Its name.
        probe: String,
        /// How it failed.
        said: String,
    },
    /// Somebody said so.
    Word {
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// A deadline was over, and the plan says that the canary is rolled back then.
    Deadline(Deadline),
    /// A gate said no, or nothing until its deadline, and the plan says that the canary is rolled
    /// back then.
    Gate {
        /// Its name.
        gate: String,
        /// What it said.
        said: String,
    },
    /// It was halted, and the halt has been released.
    Halt {
        /// Why it was halted.
        why: String,
    },
}

impl Cause {
    /// Who brought it about.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Degraded { .. } => Actor::Judge,
            Self::Probe { probe, .. } => Actor::Probe(probe.clone()),
            Self::Word { by, .. } => by.clone(),
            Self::Deadline(_) | Self::Halt { .. } => Actor::Plan,
            Self::Gate { gate, .. } => Actor::Gate(gate.clone()),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Degraded { evidence } if evidence.is_empty() => f.write_str("degraded"),
            Self::Degraded { evidence } => f.write_str(evidence),
            Self::Probe { probe, said } => write!(f, "probe {probe:?} failed: {said}"),
            Self::Word { by, reason } if reason.is_empty() => write!(f, "by {by}"),
            Self::Word { by, reason } => write!(f, "by {by}: {reason}"),
            Self::Deadline(deadline) => write!(f, "{deadline}"),
            Self::Gate { gate, said } => write!(f, "gate {gate:?}: {said}"),
            Self::Halt { why } => write!(f, "halted: {why}"),
        }
    }
}
