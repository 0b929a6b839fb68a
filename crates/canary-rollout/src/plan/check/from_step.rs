use canary_core::Weight;

use super::Check;
use crate::plan::{OnInconclusive, definition::Plan, monitor::MonitorSpec};

impl Check {
    /// Checks the steps from which on monitors judge. The first `listed` monitors are those that the
    /// plan names: the others are not asked for a proof by its author.
    pub(super) fn starting_steps(&mut self, plan: &Plan, listed: usize) {
        let mut all_are_valid = true;
        for (index, monitor) in plan.monitors.iter().enumerate() {
            let Some(step) = monitor.from_step else { continue };
            if let Some(message) = fault_of(plan, monitor, step) {
                self.fault(format!("monitors[{index}].from_step"), message);
                all_are_valid = false;
            }
        }
        if all_are_valid {
            self.proof_before_monitors(plan, &plan.monitors[..listed.min(plan.monitors.len())]);
        }
    }

    /// Checks that each step that requires proof has a monitor that can prove the canary healthy.
    fn proof_before_monitors(&mut self, plan: &Plan, listed: &[MonitorSpec]) {
        let proving = listed.iter().enumerate().filter(|(_, monitor)| monitor.must_be_proven());
        let Some((index, first)) = proving.min_by_key(|(_, monitor)| monitor.starting_step())
        else {
            return;
        };
        let begins = first.starting_step();
        let waits_for_ever = |step: &usize| {
            let advances = plan.on_inconclusive == OnInconclusive::Advance
                && plan.steps[*step].deadline.is_some();
            let is_waived = plan.steps[*step].without_proof_after.is_some() || advances;
            plan.needs_proof(*step) && !is_waived
        };
        if let Some(step) = (0..plan.steps.len().min(begins - 1)).find(waits_for_ever) {
            let step = step + 1;
            let message = format!(
                "step {step} requires proof that the canary is healthy, and no monitor that could prove \
                 it judges before step {begins}: let one judge from step {step} on, or set \
                 `without_proof_after`"
            );
            self.fault(format!("monitors[{index}].from_step"), message);
        }
    }
}

fn fault_of(plan: &Plan, monitor: &MonitorSpec, step: u32) -> Option<String> {
    if plan.by_hand {
        return Some("a plan by hand has no steps, so `from_step` has no effect".to_owned());
    }
    let steps = plan.steps.len();
    if steps == 0 {
        // Another fault says why.
        return None;
    }
    let known = usize::try_from(step).ok().and_then(|step| step.checked_sub(1));
    let Some(begins) = known.and_then(|index| plan.steps.get(index)) else {
        return Some(match steps {
            1 => format!("step {step}, expected 1: the plan has one step"),
            _ => format!("step {step}, expected 1 to {steps}, the steps of the plan"),
        });
    };
    let never_compares = begins.weight == Weight::FULL && monitor.at_most.is_none();
    never_compares.then(|| {
        format!(
            "stable has no calls from step {step} on to compare with: expected a step below 100%, or a \
             monitor with `at_most`"
        )
    })
}
