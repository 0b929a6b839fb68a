use canary_core::{CanaryName, Verdict, Weight};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Clock, Releases, Rollout, Schema};
use crate::{
    history::History,
    plan::stored::StoredPlan,
    serialize,
    state::{Stage, phase::State},
};

/// A rollout as it was stored, before anybody has looked whether its parts fit each other.
#[derive(Deserialize)]
pub(super) struct StoredRollout {
    schema: Schema,
    #[serde(with = "serialize::name")]
    name: CanaryName,
    releases: Releases,
    generation: u64,
    attempt: u64,
    state: State,
    #[serde(with = "serialize::weight")]
    weight: Weight,
    #[serde(default)]
    clock: Clock,
    #[serde(with = "serialize::verdict")]
    verdict: Verdict,
    #[serde(default)]
    evidence: String,
    plan: StoredPlan,
    #[serde(default)]
    history: History,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl TryFrom<StoredRollout> for Rollout {
    type Error = String;

    fn try_from(stored: StoredRollout) -> Result<Self, String> {
        let StoredRollout { schema, name, releases, generation, attempt, state, weight, .. } =
            stored;
        let StoredRollout { clock, verdict, evidence, plan, history, unknown, .. } = stored;
        let rollout = Self {
            schema,
            name,
            releases,
            generation,
            attempt,
            state,
            weight,
            clock,
            verdict,
            evidence,
            plan,
            history,
            unknown,
        };
        rollout.check()?;
        Ok(rollout)
    }
}

impl Rollout {
    fn check(&self) -> Result<(), String> {
        match self.state.stage() {
            Some(Stage::Step { step }) if step >= self.plan().steps().len() => {
                let steps = self.plan().steps().len();
                return Err(format!("the rollout is stored at step {step} of {steps}, from 0"));
            }
            Some(Stage::Bake { .. }) if self.plan().bake().is_none() => {
                return Err("the rollout is stored in a bake that its plan has not".to_owned());
            }
            _ => {}
        }
        let expected = match &self.state {
            State::Idle
            | State::Starting { .. }
            | State::RolledBack { .. }
            | State::Halted { .. } => Weight::ZERO,
            State::Promoted { .. } => Weight::FULL,
            State::Running { .. }
            | State::Paused { .. }
            | State::RampingDown { .. }
            | State::Baking { .. } => return Ok(()),
        };
        if self.weight != expected {
            let (phase, weight) = (self.phase(), self.weight);
            return Err(format!(
                "the rollout is stored {phase} at weight {weight}, expected {expected}"
            ));
        }
        Ok(())
    }
}
