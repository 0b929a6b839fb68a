//! The events in the history of a rollout.

use std::fmt;

use canary_core::{Verdict, Weight};
use serde::{Deserialize, Serialize};

mod id;

pub use self::id::{EventId, InvalidEventId};
use crate::{actor::Actor, serialize, state::phase::Phase, timestamp::Timestamp};

/// An event in the history of a rollout. It prints as one sentence.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// The number of the event, from 1. Numbers continue when the releases change.
    pub number: u64,
    /// The time.
    pub at: Timestamp,
    /// The cause.
    pub by: Actor,
    /// The kind, with its data.
    #[serde(flatten)]
    pub kind: EventKind,
    /// The reason; it may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The judge's verdict at that time.
    #[serde(with = "serialize::verdict")]
    pub verdict: Verdict,
    /// The evidence for the verdict in one sentence; empty for events that do not depend on it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// The state afterwards.
    pub phase: Phase,
    /// The weight afterwards.
    #[serde(with = "serialize::weight")]
    pub weight: Weight,
}

/// The kind of an [`Event`]. It prints as the sentence's predicate, without the cause.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The plan started.
    Started {
        /// The number of the attempt, from 1.
        attempt: u64,
    },
    /// A step began.
    StepBegun {
        /// The index of the step, from 0.
        step: usize,
    },
    /// The bake began: the canary serves all calls except the holdback.
    BakeBegun,
    /// The canary was promoted.
    Promoted,
    /// The plan was paused.
    Paused,
    /// The plan was resumed.
    Resumed,
    /// An operator set the weight.
    WeightSet,
    /// The canary is degraded, and the weight stays until an operator decides.
    Frozen,
    /// The canary is degraded, and the plan only reports it.
    FoundDegraded,
    /// The weight began to ramp down.
    RampDownBegun,
    /// The canary was rolled back.
    RolledBack,
    /// The rollout was halted.
    Halted,
    /// The halt was lifted.
    HaltLifted,
    /// A gate was asked.
    GateAsked {
        /// The gate's name in the plan.
        gate: String,
    },
    /// A gate opened.
    GateOpened {
        /// The gate's name in the plan.
        gate: String,
    },
    /// A gate was rejected, or did not answer before its deadline.
    GateRejected {
        /// The gate's name in the plan.
        gate: String,
    },
    /// A probe failed. Further failures in a row are not recorded.
    ProbeFailed {
        /// The probe's name in the plan.
        probe: String,
    },
    /// The weight could be raised, but the calendar is closed.
    CalendarClosed,
    /// The releases changed, and the evidence of the previous ones was discarded.
    ReleaseChanged,
    /// The plan was replaced. The new one applies from the next start.
    PlanReplaced,
    /// An operator changed variables. The event has no values, because they can be secret.
    VariablesSet {
        /// The names of the changed variables of the stage.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stage: Vec<String>,
        /// The names of the changed overrides of the canary.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        overrides: Vec<String>,
    },
    /// The store has lost a newer state of the rollout.
    StoreLost,
    /// Fewer replicas are heard than the quorum. The plan does not proceed, and can roll back.
    QuorumLost,
    /// The quorum of replicas is heard again.
    QuorumRegained,
}

impl Event {
    /// Returns the id of the event. Only a stored event has one: before, another replica can store
    /// another event under this number.
    #[must_use]
    pub const fn id(&self) -> EventId {
        EventId { number: self.number, at: self.at }
    }

    /// Returns the cause and the event as a sentence without a full stop, such as "anna rolled back".
    ///
    /// ```
    /// # let sentence = |json: &str| -> Result<String, serde_json::Error> {
    /// #     let rest = r#""number": 1, "at": "2026-11-24T09:00:00Z", "verdict": "healthy",
    /// #         "phase": "running", "weight": "1%""#;
    /// #     let event: canary_rollout::event::Event =
    /// #         serde_json::from_str(&format!("{{ {rest}, {json} }}"))?;
    /// #     Ok(event.sentence())
    /// # };
    /// let by_anna = sentence(r#""by": { "person": "anna" }, "kind": "gate_opened", "gate": "ci""#)?;
    /// assert_eq!(by_anna, r#"anna opened gate "ci""#);
    /// let by_itself = sentence(r#""by": { "gate": "ci" }, "kind": "gate_opened", "gate": "ci""#)?;
    /// assert_eq!(by_itself, r#"gate "ci" opened"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { by, kind, .. } = self;
        match (by, kind) {
            // The cause names the gate already.
            (Actor::Gate(name), EventKind::GateOpened { gate }) if name == gate => {
                format!("{by} opened")
            }
            (Actor::Gate(name), EventKind::GateRejected { gate }) if name == gate => {
                format!("{by} said no")
            }
            _ => format!("{by} {kind}"),
        }
    }
}

impl EventKind {
    /// All names, as plan files and the JSON form of events use them.
    pub const NAMES: [&str; 24] = [
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
        "variables_set",
        "store_lost",
        "found_degraded",
        "quorum_lost",
        "quorum_regained",
    ];

    /// Returns the name without the data, such as "step_begun".
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
            Self::VariablesSet { .. } => 19,
            Self::StoreLost => 20,
            Self::FoundDegraded => 21,
            Self::QuorumLost => 22,
            Self::QuorumRegained => 23,
        };
        Self::NAMES[index]
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { attempt } => write!(f, "started (attempt {attempt})"),
            Self::StepBegun { step } => write!(f, "began step {}", step.saturating_add(1)),
            Self::BakeBegun => f.write_str("began the bake"),
            Self::Promoted => f.write_str("promoted the canary"),
            Self::Paused => f.write_str("paused"),
            Self::Resumed => f.write_str("resumed"),
            Self::WeightSet => f.write_str("set the weight"),
            Self::Frozen => f.write_str("froze the weight"),
            Self::FoundDegraded => f.write_str("found the canary degraded"),
            Self::RampDownBegun => f.write_str("began to ramp down"),
            Self::RolledBack => f.write_str("rolled back"),
            Self::Halted => f.write_str("halted"),
            Self::HaltLifted => f.write_str("lifted the halt"),
            Self::GateAsked { gate } => write!(f, "asked gate {gate:?}"),
            Self::GateOpened { gate } => write!(f, "opened gate {gate:?}"),
            Self::GateRejected { gate } => write!(f, "rejected gate {gate:?}"),
            // The cause of this event is the probe, so the sentence names it already.
            Self::ProbeFailed { .. } => f.write_str("failed"),
            Self::CalendarClosed => f.write_str("waits for the calendar"),
            Self::ReleaseChanged => f.write_str("changed the releases"),
            Self::PlanReplaced => f.write_str("replaced the plan"),
            Self::StoreLost => f.write_str("lost the rollout"),
            Self::QuorumLost => f.write_str("lost the quorum"),
            Self::QuorumRegained => f.write_str("regained the quorum"),
            Self::VariablesSet { stage, overrides } => {
                let of = |names: &Vec<String>, channel: &str| {
                    (!names.is_empty()).then(|| format!("{} of {channel}", names.join(", ")))
                };
                let changed = [of(stage, "the stage"), of(overrides, "the canary")];
                let changed: Vec<_> = changed.into_iter().flatten().collect();
                write!(f, "set the variables {}", changed.join(" and "))
            }
        }
    }
}

impl fmt::Display for Event {
    /// Formats as "2026-11-24T09:00:00Z anna rolled back, weight 0%: wrong totals".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, reason, evidence, weight, .. } = self;
        write!(f, "{at} {}, weight {weight}", self.sentence())?;
        for text in [reason, evidence].into_iter().filter(|text| !text.is_empty()) {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}
