use std::sync::Arc as StdArc;

use canary_core::{Channel, PerChannel};

use crate::{
    control::{
        epoch_settings::EpochSettings,
        handle::CanaryHandle,
        state::{ControlState, EpochHistory},
    },
    variables::{InvalidVariables, Variables, sets::BeforePromotion},
};

impl CanaryHandle {
    /// Returns the variables that handlers of `channel` see: the variables of the stage, with the
    /// overrides applied for the canary.
    #[must_use]
    pub fn variables(&self, channel: Channel) -> Variables {
        self.control().settings().variables[channel].clone()
    }

    /// Returns the variables of the stage, without overrides.
    #[must_use]
    pub fn stage_variables(&self) -> Variables {
        self.control().with(|history, _| history.variables.stage.clone())
    }

    /// Returns the variables that the canary overrides.
    #[must_use]
    pub fn overrides(&self) -> Variables {
        self.control().with(|history, _| history.variables.overrides.clone())
    }

    /// Changes the variables of the stage, the overrides of the canary, or both. Calls in flight
    /// keep the variables with which they started.
    ///
    /// `change` receives the variables of the stage and the overrides. It runs under the lock for
    /// changes, so it must not use the handle. Changes made while the canary is promoted are lost
    /// when the promotion is undone. Calls before and after the change are counted in separate
    /// epochs.
    ///
    /// A controller stores variables that are set by its own command. This method changes them only
    /// in this process, until it stops.
    ///
    /// # Errors
    ///
    /// Returns an error if the new variables of a channel do not deserialize into the
    /// [type](crate::CanaryOptions::typed_variables) named in the options. Nothing changes in that
    /// case.
    pub fn change_variables(
        &self,
        change: impl FnOnce(&mut Variables, &mut Variables),
    ) -> Result<(), InvalidVariables> {
        self.control().with(|history, control| {
            let mut sets = history.variables.clone();
            change(&mut sets.stage, &mut sets.overrides);
            let merged = sets.merge(control.config().parse_variables)?;
            history.variables = sets;
            history.publish_variables(control, StdArc::new(merged));
            Ok(())
        })?;
        self.changed("changed the variables");
        Ok(())
    }
}

impl EpochHistory {
    /// Makes the canary's variables those of both channels.
    pub(super) fn promote_variables(&mut self, settings: &mut EpochSettings) {
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

    /// Restores the variables from before the promotion, if there was one.
    pub(super) fn restore_variables(&mut self, settings: &mut EpochSettings) {
        if let Some(BeforePromotion { sets, merged }) = self.before_promotion.take() {
            self.variables = sets;
            settings.variables = merged;
        }
    }

    fn publish_variables(
        &mut self,
        control: &ControlState,
        variables: StdArc<PerChannel<Variables>>,
    ) {
        let settings = control.settings();
        if *settings.variables != *variables {
            self.begin(control, EpochSettings { variables, ..settings });
        }
    }
}
