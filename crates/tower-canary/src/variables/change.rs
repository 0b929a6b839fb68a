use std::sync::Arc as StdArc;

use canary_core::{Channel, PerChannel};

use crate::{
    control::{
        epoch_settings::EpochSettings,
        handle::CanaryHandle,
        state::{ControlState, EpochHistory},
    },
    variables::{InvalidVariables, ParseVariables, Variables},
};

impl CanaryHandle {
    /// What the handlers of a channel see: the stage's variables, and for the canary's with its overrides
    /// in place.
    #[must_use]
    pub fn variables(&self, channel: Channel) -> Variables {
        self.control().settings().variables[channel].clone()
    }

    /// The variables of the stage.
    #[must_use]
    pub fn stage_variables(&self) -> Variables {
        self.control().with(|history, _| history.variables.stage.clone())
    }

    /// The variables that the canary overrides, with its values.
    #[must_use]
    pub fn overrides(&self) -> Variables {
        self.control().with(|history, _| history.variables.overrides.clone())
    }

    /// Changes the variables of the stage, the overrides of the canary, or both, for the calls that start
    /// from now on. Calls under way go on with what they began with.
    ///
    /// `change` gets the stage's variables and the overrides as they are, and runs while other changes
    /// wait: it must not use the handle. What is changed while the canary is promoted goes when the promotion
    /// is taken back. Counts of calls before and after the change are kept apart, as
    /// for a change of the weight.
    ///
    /// # Errors
    ///
    /// If a channel would see variables that are not of the [type](crate::CanaryOptions::typed_variables)
    /// named in the options. Then nothing is changed.
    pub fn change_variables(
        &self,
        change: impl FnOnce(&mut Variables, &mut Variables),
    ) -> Result<(), InvalidVariables> {
        self.control().with(|history, control| {
            let mut sets = history.variables.clone();
            change(&mut sets.stage, &mut sets.overrides);
            let merged = sets.merge(control.config().parse_variables)?;
            history.variables = sets;
            history.show(control, StdArc::new(merged));
            Ok(())
        })?;
        self.changed("changed the variables");
        Ok(())
    }
}

/// The variables of a stage and of its canary, as they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct VariableSets {
    pub(crate) stage: Variables,
    pub(crate) overrides: Variables,
}

impl VariableSets {
    /// What the handlers of each channel see.
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
                    InvalidVariables::new(format!(
                        "the variables of {channel} are refused: {error}"
                    ))
                })?;
                merged[channel].typed = Some(typed);
            }
        }
        Ok(merged)
    }

    /// The canary's values as the stage's.
    pub(crate) fn promoted(&self) -> Self {
        Self { stage: self.stage.overridden_by(&self.overrides), overrides: Variables::default() }
    }
}

/// What a promotion changed, to be restored when it is taken back.
pub(crate) struct BeforePromotion {
    sets: VariableSets,
    merged: StdArc<PerChannel<Variables>>,
}

impl EpochHistory {
    /// The variables that go with a promotion, or with the end of one.
    pub(crate) fn promote_variables(&mut self, settings: &mut EpochSettings) {
        if self.before_promotion.is_none() {
            let PerChannel { canary, .. } = &*settings.variables;
            let merged = PerChannel { stable: canary.clone(), canary: canary.clone() };
            let promoted = self.variables.promoted();
            self.before_promotion = Some(BeforePromotion {
                sets: std::mem::replace(&mut self.variables, promoted),
                merged: std::mem::replace(&mut settings.variables, StdArc::new(merged)),
            });
        }
    }

    pub(crate) fn take_back_variables(&mut self, settings: &mut EpochSettings) {
        if let Some(BeforePromotion { sets, merged }) = self.before_promotion.take() {
            self.variables = sets;
            settings.variables = merged;
        }
    }

    fn show(&mut self, control: &ControlState, variables: StdArc<PerChannel<Variables>>) {
        let settings = control.settings();
        if *settings.variables != *variables {
            self.begin(control, EpochSettings { variables, ..settings });
        }
    }
}
