//! The stored form of a rollout. Reading it validates it.

use canary_core::Weight;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Rollout, SchemaVersion};
use crate::state::{Stage, phase::State};

impl Serialize for Rollout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Rollout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rollout = Self::deserialize(deserializer)?;
        rollout.check().map_err(de::Error::custom)?;
        Ok(rollout)
    }
}

impl Rollout {
    /// Checks that the state fits the plan and the weight.
    fn check(&self) -> Result<(), String> {
        match self.state.stage() {
            Some(Stage::Step { step }) if step >= self.plan().steps().len() => {
                let steps = self.plan().steps().len();
                return Err(format!("the stored rollout is at step index {step} of {steps} steps"));
            }
            Some(Stage::Bake { .. }) if self.plan().bake().is_none() => {
                return Err("the stored rollout is in a bake, but its plan has none".to_owned());
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
                "the stored rollout is {phase} at weight {weight}, expected {expected}"
            ));
        }
        Ok(())
    }
}

impl Serialize for SchemaVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(SCHEMA)
    }
}

impl<'de> Deserialize<'de> for SchemaVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            SCHEMA => Ok(Self),
            other => Err(de::Error::custom(format!(
                "the stored rollout has schema version {other}, expected {SCHEMA}"
            ))),
        }
    }
}

const SCHEMA: u32 = 1;
