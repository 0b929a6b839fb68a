//! The stored form of a rollout. Reading it validates it.

use canary_core::Weight;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Rollout, SchemaVersion};
use crate::{
    event::EventKind,
    state::{
        Stage,
        phase::{Phase, State},
    },
};

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
    /// Checks that the state, the plan and the weight fit each other, so that a document that was
    /// edited or damaged puts no weight into force that the plan does not have.
    fn check(&self) -> Result<(), String> {
        match self.state.stage() {
            Some(Stage::Step { step }) if step >= self.plan().steps().len() => {
                let steps = self.plan().steps().len();
                return Err(format!("the stored rollout is at step index {step} of {steps} steps"));
            }
            Some(Stage::Bake { .. }) if self.plan().bake().is_none() => {
                return Err("the stored rollout is in a bake, but its plan has none".to_owned());
            }
            Some(Stage::Start) if self.plan().is_by_hand() && self.phase() == Phase::Starting => {
                return Err("the stored rollout is starting, but its plan is by hand".to_owned());
            }
            _ => {}
        }
        let (phase, weight, highest) = (self.phase(), self.weight, self.highest_weight());
        let lowest = if phase == Phase::Promoted { highest } else { Weight::ZERO };
        if weight < lowest || weight > highest {
            let at_most =
                if lowest == highest || highest == Weight::ZERO { "" } else { "at most " };
            return Err(format!(
                "the stored rollout is {phase} at weight {weight}, expected {at_most}{highest}"
            ));
        }
        Ok(())
    }

    /// Returns the highest weight that the state, the plan and the events allow. The weight can be
    /// lower while the calendar is closed, during a ramp, and if an operator has set it.
    fn highest_weight(&self) -> Weight {
        match &self.state {
            State::Idle
            | State::Starting { .. }
            | State::RolledBack { .. }
            | State::Halted { .. } => Weight::ZERO,
            State::Promoted { .. } => Weight::FULL,
            State::RampingDown { from, .. } => *from,
            State::Paused { .. } if self.plan().is_by_hand() => self.plan().max_weight(),
            State::Paused { stage, .. } if self.may_be_set_manually() => {
                self.plan().max_weight().max(self.weight_of(stage))
            }
            State::Running { .. } | State::Paused { .. } | State::Baking { .. } => {
                self.state.stage().map_or(Weight::ZERO, |stage| self.weight_of(&stage))
            }
        }
    }

    /// Returns whether an operator, or a loss of the store, has set this weight during the pause, or whether the history no
    /// longer reaches back to the beginning of the pause.
    fn may_be_set_manually(&self) -> bool {
        for event in self.history().rev() {
            if event.phase != Phase::Paused {
                return false;
            }
            let sets_weight = matches!(event.kind, EventKind::WeightSet | EventKind::StoreLost);
            if sets_weight && event.weight == self.weight {
                return true;
            }
        }
        true
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
