//! Events: what happened to a rollout, who caused it, when, and why.

use std::fmt;

use canary_core::{Verdict, Weight};
use serde::{Deserialize, Serialize};

use crate::{actor::Actor, serialize, state::phase::Phase, timestamp::Timestamp};

/// What happened to a rollout: who did it, when, why, and on which evidence.
///
/// It prints as one sentence for people.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// Counted from 1 over the rollout's whole history, other releases included.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
    /// Why; it may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The judge's verdict at that time.
    #[serde(with = "serialize::verdict")]
    pub verdict: Verdict,
    /// The evidence for that, in one sentence, where it mattered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// The state afterwards.
    pub phase: Phase,
    /// The weight that is asked for afterwards.
    #[serde(with = "serialize::weight")]
    pub weight: Weight,
}

/// What an [`Event`] tells.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The plan began, for that many times.
    Started {
        /// 1 for the first start of all.
        attempt: u64,
    },
    /// A step began.
    StepBegun {
        /// Counted from 0.
        step: usize,
    },
    /// The canary's calls were raised to all but the holdback.
    BakeBegun,
    /// The canary got every call, for good.
    Promoted,
    /// The plan stands still.
    Paused,
    /// The plan goes on.
    Resumed,
    /// A weight was set by hand.
    WeightSet,
    /// The canary is degraded, and the weight stays until a person decides.
    Frozen,
    /// The weight began to go down, step by step.
    RampDownBegun,
    /// Stable got every call.
    RolledBack,
    /// Stable got every call, and nothing starts until the halt is released.
    Halted,
    /// The halt was released.
    HaltLifted,
    /// A gate was asked.
    GateAsked {
        /// Its name.
        gate: String,
    },
    /// A gate opened.
    GateOpened {
        /// Its name.
        gate: String,
    },
    /// A gate said no, or nothing until its deadline.
    GateRejected {
        /// Its name.
        gate: String,
    },
    /// A probe failed, once or more in a row.
    ProbeFailed {
        /// Its name.
        probe: String,
    },
    /// All that is needed for the next raise is there, but for a moment at which the calendar allows
    /// it.
    CalendarClosed,
    /// Other releases are there now, and all evidence of those before is dropped.
    ReleaseChanged,
    /// Another plan holds for the next start.
    PlanReplaced,
}

impl EventKind {
    /// All names, as a plan's notices and the JSON of events have them.
    pub const NAMES: [&str; 19] = [
        "started",
        "step_begun",
        "bake_begun",
        "promoted",
        "paused",
        "resumed",
        "weight_set",
        "frozen",
        "ramp_down_begun",
        "rolled_back",
        "halted",
        "halt_lifted",
        "gate_asked",
        "gate_opened",
        "gate_rejected",
        "probe_failed",
        "calendar_closed",
        "release_changed",
        "plan_replaced",
    ];

    /// The name without the data: "step_begun".
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        let index = match self {
            Self::Started { .. } => 0,
            Self::StepBegun { .. } => 1,
            Self::BakeBegun => 2,
            Self::Promoted => 3,
            Self::Paused => 4,
            Self::Resumed => 5,
            Self::WeightSet => 6,
            Self::Frozen => 7,
            Self::RampDownBegun => 8,
            Self::RolledBack => 9,
            Self::Halted => 10,
            Self::HaltLifted => 11,
            Self::GateAsked { .. } => 12,
            Self::GateOpened { .. } => 13,
            Self::GateRejected { .. } => 14,
            Self::ProbeFailed { .. } => 15,
            Self::CalendarClosed => 16,
            Self::ReleaseChanged => 17,
            Self::PlanReplaced => 18,
        };
        Self::NAMES[index]
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { attempt } => write!(f, "started (attempt {attempt})"),
            Self::StepBegun { step } => write!(f, "began step {}", step + 1),
            Self::BakeBegun => f.write_str("began the bake"),
            Self::Promoted => f.write_str("promoted the canary"),
            Self::Paused => f.write_str("paused"),
            Self::Resumed => f.write_str("resumed"),
            Self::WeightSet => f.write_str("set the weight"),
            Self::Frozen => f.write_str("froze the weight"),
            Self::RampDownBegun => f.write_str("began to ramp down"),
            Self::RolledBack => f.write_str("rolled back"),
            Self::Halted => f.write_str("halted"),
            Self::HaltLifted => f.write_str("lifted the halt"),
            Self::GateAsked { gate } => write!(f, "asked gate {gate:?}"),
            Self::GateOpened { gate } => write!(f, "opened gate {gate:?}"),
            Self::GateRejected { gate } => write!(f, "rejected gate {gate:?}"),
            Self::ProbeFailed { probe } => write!(f, "saw probe {probe:?} fail"),
            Self::CalendarClosed => f.write_str("waits for the calendar"),
            Self::ReleaseChanged => f.write_str("took other releases"),
            Self::PlanReplaced => f.write_str("took another plan"),
        }
    }
}

impl fmt::Display for Event {
    /// As in "2026-11-24T09:00:00Z anna rolled back, weight 0%: wrong totals".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, by, kind, reason, evidence, weight, .. } = self;
        write!(f, "{at} {by} {kind}, weight {weight}")?;
        for text in [reason, evidence].into_iter().filter(|text| !text.is_empty()) {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}
