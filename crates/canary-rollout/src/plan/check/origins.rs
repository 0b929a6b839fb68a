use crate::plan::draft::{Draft, StepDraft};

/// The fields in which the values of steps are written, so that a fault of a value that many steps
/// share is reported once, where it is repaired.
pub(super) struct Origins {
    /// The field that defines all steps, unless it is `steps`.
    ramp: Option<&'static str>,
    has_step_deadline: bool,
    pub(super) has_without_proof_after: bool,
    /// Whether each step has its own `min_calls`, `deadline` and `without_proof_after`.
    own: Vec<(bool, bool, bool)>,
}

impl Origins {
    pub(super) fn of(draft: &Draft) -> Self {
        let ramps = [
            draft.linear.as_ref().map(|_| "linear"),
            draft.exponential.as_ref().map(|_| "exponential"),
            draft.preset.as_ref().map(|_| "preset"),
        ];
        let own = |step: &StepDraft| {
            let without_proof_after = step.without_proof_after.is_some();
            (step.min_calls.is_some(), step.deadline.is_some(), without_proof_after)
        };
        Self {
            ramp: ramps.into_iter().flatten().next(),
            has_step_deadline: draft.step_deadline.is_some(),
            has_without_proof_after: draft.without_proof_after.is_some(),
            own: draft.steps.iter().flatten().map(own).collect(),
        }
    }

    pub(super) fn weight(&self, step: usize) -> String {
        self.ramp.map_or_else(|| format!("steps[{step}].weight"), str::to_owned)
    }

    pub(super) fn min_calls(&self, step: usize) -> String {
        match self.own.get(step) {
            Some((true, ..)) => format!("steps[{step}].min_calls"),
            _ => "min_calls".to_owned(),
        }
    }

    pub(super) fn deadline(&self, step: usize) -> String {
        match (self.own.get(step), self.ramp) {
            (Some((_, true, _)), _) => format!("steps[{step}].deadline"),
            _ if self.has_step_deadline => "step_deadline".to_owned(),
            (_, Some(ramp)) => ramp.to_owned(),
            (_, None) => format!("steps[{step}].deadline"),
        }
    }

    /// Returns the field, and whether it is the step's own.
    pub(super) fn without_proof_after(&self, step: usize) -> (String, bool) {
        match self.own.get(step) {
            Some((.., true)) => (format!("steps[{step}].without_proof_after"), true),
            _ => ("without_proof_after".to_owned(), false),
        }
    }
}
