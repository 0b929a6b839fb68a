use super::{Check, origins::Origins};
use crate::{
    plan::{definition::Plan, step::Bake},
    span::Span,
};

impl Check {
    /// Checks that steps which go on without proof require one, and do so before their deadlines.
    pub(super) fn without_proof(&mut self, plan: &mut Plan, origins: &Origins) {
        for index in 0..plan.steps.len() {
            let needs_proof = plan.needs_proof(index);
            let step = &mut plan.steps[index];
            let Some(after) = step.without_proof_after else { continue };
            let (field, is_own) = origins.without_proof_after(index);
            if !needs_proof {
                step.without_proof_after = None;
                if is_own {
                    self.fault(field, "has no effect: the step requires no proof");
                }
            } else if let Some(deadline) = step.deadline.filter(|deadline| *deadline <= after) {
                let (after, deadline) = (Span(after), Span(deadline));
                let message = format!("{after} is not below the step's deadline of {deadline}");
                self.fault_once(field, message);
            }
        }
        let is_needed = (0..plan.steps.len()).any(|step| plan.needs_proof(step));
        if origins.has_without_proof_after && !is_needed && !plan.steps.is_empty() {
            let maximum = plan.max_weight;
            let message = format!(
                "has no effect: no step requires proof, because `max_weight` of {maximum} leaves the \
                 promotion to an operator"
            );
            self.fault("without_proof_after", message);
        }
        let Some(Bake { without_proof_after: Some(after), deadline, .. }) = &plan.bake else {
            return;
        };
        if let Some(deadline) = deadline.filter(|deadline| deadline <= after) {
            let (after, deadline) = (Span(*after), Span(deadline));
            let message = format!("{after} is not below the bake's deadline of {deadline}");
            self.fault("bake.without_proof_after", message);
        }
    }
}
