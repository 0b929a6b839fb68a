use std::fmt::Display;

use canary_core::{CanaryName, Verdict, Weight};
use canary_rollout::{
    Phase, Releases, Rollout, Timestamp,
    state::{GateState, Stage},
};
use serde::{Serialize, Serializer};

/// The question to a gate: may the rollout continue?
///
/// Its JSON form is the body of a gate's webhook.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GateQuestion {
    /// The version of the JSON format: 1.
    pub version: u32,
    /// The kind of confirmation.
    #[serde(rename = "kind")]
    pub confirm: Confirm,
    /// An id of the question, unique per attempt, step and gate. It stays the same when the
    /// question is repeated.
    pub id: String,
    /// The canary's name.
    #[serde(serialize_with = "display")]
    pub canary: CanaryName,
    /// The gate's name in the plan.
    pub gate: String,
    /// The releases of both channels.
    pub releases: Releases,
    /// The number of the attempt, from 1.
    pub attempt: u64,
    /// The phase of the rollout.
    pub phase: Phase,
    /// The index of the current step, from 0, or `None` before the first step.
    pub step: Option<usize>,
    /// The number of steps of the plan.
    pub steps: usize,
    /// The current weight of the canary.
    #[serde(serialize_with = "display")]
    pub weight: Weight,
    /// The weight after all gates have opened.
    #[serde(serialize_with = "display")]
    pub next_weight: Weight,
    /// The current verdict of the judge.
    #[serde(serialize_with = "verdict")]
    pub verdict: Verdict,
    /// The evidence in one sentence. May be empty.
    pub evidence: String,
    /// The time when the question was first asked.
    pub asked_at: Timestamp,
    /// The time at which the plan's `on_rejected` applies; `None` if the gate waits without a
    /// deadline. Pauses postpone it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

/// The kind of confirmation that a gate gives.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Confirm {
    /// The start: the canary gets its first calls.
    #[serde(rename = "confirm_start")]
    Start,
    /// A higher weight.
    #[serde(rename = "confirm_raise")]
    Raise,
    /// The promotion, and the bake before it if the plan has one.
    #[serde(rename = "confirm_promotion")]
    Promotion,
}

impl GateQuestion {
    /// Creates the question to a gate of the rollout's plan, or returns `None` if the plan has no
    /// such gate.
    #[must_use]
    pub fn for_gate(rollout: &Rollout, gate: &str, now: Timestamp) -> Option<Self> {
        let plan = rollout.plan();
        let deadline = plan.gates().get(gate)?.deadline;
        let state = rollout.state();
        let asked = state.progress().and_then(|progress| progress.gates.get(gate));
        let (asked_at, left) = match asked {
            Some(GateState::Asked { since, waited, .. }) => {
                (*since, deadline.map(|deadline| deadline.saturating_sub(*waited)))
            }
            _ => (now, deadline),
        };
        let step = match state.stage() {
            Some(Stage::Step { step }) => Some(step),
            Some(Stage::Bake { .. }) => Some(plan.steps().len() - 1),
            _ => None,
        };
        let next = step.map_or(0, |step| step + 1);
        let (confirm, next_weight) = match (plan.steps().get(next), plan.bake()) {
            (Some(first), _) if next == 0 => (Confirm::Start, first.weight),
            (Some(next), _) => (Confirm::Raise, next.weight),
            (None, Some(bake)) => (Confirm::Promotion, all_but(bake.holdback)),
            (None, None) => (Confirm::Promotion, Weight::FULL),
        };
        let (verdict, evidence) = rollout.verdict();
        let (canary, attempt) = (rollout.name().clone(), rollout.attempt());
        Some(Self {
            version: 1,
            confirm,
            id: format!("{canary}-{attempt}-{next}-{gate}"),
            canary,
            gate: gate.to_owned(),
            releases: rollout.releases().clone(),
            attempt,
            phase: rollout.phase(),
            step,
            steps: plan.steps().len(),
            weight: rollout.weight(),
            next_weight,
            verdict,
            evidence: evidence.to_owned(),
            asked_at,
            deadline: left.map(|left| now + left),
        })
    }
}

fn all_but(holdback: Weight) -> Weight {
    Weight::from_ppm(Weight::FULL.ppm().saturating_sub(holdback.ppm()))
}

fn display<S: Serializer>(it: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(it)
}

fn verdict<S: Serializer>(it: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(it.as_str())
}
