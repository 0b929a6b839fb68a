use std::fmt::Display;

use canary_core::{CanaryName, Verdict, Weight};
use canary_rollout::{GateState, Phase, Releases, Rollout, Stage, Timestamp};
use serde::{Serialize, Serializer};

/// What a gate is asked: may this rollout go on from here?
///
/// As JSON it is the body of a gate's webhook.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GateQuestion {
    /// The version of the JSON's form: 1.
    pub version: u32,
    /// What comes next.
    #[serde(rename = "kind")]
    pub confirm: Confirm,
    /// The same each time this is asked, and another for each gate, step and start.
    pub id: String,
    /// The canary's name.
    #[serde(serialize_with = "text")]
    pub canary: CanaryName,
    /// The gate's name in the plan.
    pub gate: String,
    /// The builds that the channels run.
    pub releases: Releases,
    /// Which start of the rollout this is, counted from 1; 0 before the first.
    pub attempt: u64,
    /// The state that the rollout is in.
    pub phase: Phase,
    /// The step that it is at, counted from 0; none before the first one.
    pub step: Option<usize>,
    /// How many steps the plan has.
    pub steps: usize,
    /// The canary's weight now.
    #[serde(serialize_with = "text")]
    pub weight: Weight,
    /// The weight once all gates are open.
    #[serde(serialize_with = "text")]
    pub next_weight: Weight,
    /// The judge's verdict on the evidence so far.
    #[serde(serialize_with = "word")]
    pub verdict: Verdict,
    /// The evidence in one sentence; it may be empty.
    pub evidence: String,
    /// When it was asked first.
    pub asked_at: Timestamp,
    /// When silence becomes an answer: the plan's `on_silence`. Pauses put it off.
    pub deadline: Timestamp,
}

/// What a gate confirms.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Confirm {
    /// The canary's first live call.
    #[serde(rename = "confirm_start")]
    Start,
    /// A higher weight.
    #[serde(rename = "confirm_raise")]
    Raise,
    /// The bake if the plan has one, and the promotion.
    #[serde(rename = "confirm_promotion")]
    Promotion,
}

impl GateQuestion {
    /// What this gate of the rollout's plan is to be asked now; nothing if the plan has no such gate.
    #[must_use]
    pub fn for_gate(rollout: &Rollout, gate: &str, now: Timestamp) -> Option<Self> {
        let plan = rollout.plan();
        let deadline = plan.gates().get(gate)?.deadline;
        let state = rollout.state();
        let asked = state.progress().and_then(|progress| progress.gates.get(gate));
        let (asked_at, left) = match asked {
            Some(GateState::Asked { since, waited, .. }) => {
                (*since, deadline.saturating_sub(*waited))
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
            deadline: now + left,
        })
    }
}

fn all_but(holdback: Weight) -> Weight {
    Weight::from_ppm(Weight::FULL.ppm().saturating_sub(holdback.ppm()))
}

fn text<S: Serializer>(it: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(it)
}

fn word<S: Serializer>(it: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(it.as_str())
}
