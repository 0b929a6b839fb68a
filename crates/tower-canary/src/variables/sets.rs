use std::sync::Arc;

use canary_core::{Channel, PerChannel};

use crate::variables::{InvalidVariables, Variables, typed::ParseVariables};

/// The variables of the stage, and the overrides of the canary.
#[derive(Clone, Debug, Default)]
pub(crate) struct VariableSets {
    pub(crate) stage: Variables,
    pub(crate) overrides: Variables,
}

impl VariableSets {
    /// Returns the variables that handlers of each channel see.
    pub(crate) fn merge(
        &self,
        parse: Option<ParseVariables>,
    ) -> Result<PerChannel<Variables>, InvalidVariables> {
        let mut merged = PerChannel {
            stable: self.stage.overridden_by(&Variables::default()),
            canary: self.stage.overridden_by(&self.overrides),
        };
        if let Some(parse) = parse {
            for channel in Channel::ALL {
                let typed = parse(&merged[channel]).map_err(|error| {
                    InvalidVariables::new(format!("invalid variables for {channel}: {error}"))
                })?;
                merged[channel].set_typed(typed);
            }
        }
        Ok(merged)
    }

    /// Returns the sets after a promotion: the stage has the values of the canary, and nothing is
    /// overridden.
    pub(crate) fn promoted(&self) -> Self {
        Self { stage: self.stage.overridden_by(&self.overrides), overrides: Variables::default() }
    }
}

/// The variables before a promotion, restored when the promotion is undone.
pub(crate) struct BeforePromotion {
    pub(crate) sets: VariableSets,
    pub(crate) merged: Arc<PerChannel<Variables>>,
}
