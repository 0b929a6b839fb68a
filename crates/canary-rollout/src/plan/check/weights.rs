use canary_core::Weight;

use super::{Check, origins::Origins};
use crate::plan::{
    definition::Plan,
    step::{AdvanceWhen, Bake, Step},
};

impl Check {
    pub(super) fn weights(&mut self, plan: &Plan, origins: &Origins) {
        let mut before = Weight::ZERO;
        for (index, step) in plan.steps.iter().enumerate() {
            let field = origins.weight(index);
            let weight = step.weight;
            if weight < before {
                self.fault(&*field, format!("{weight} is below the previous step's {before}"));
            } else if weight == Weight::ZERO {
                self.step_without_calls(index, step, index + 1 == plan.steps.len());
            }
            if weight == Weight::FULL {
                self.step_with_all_calls(index, step, before);
            }
            if weight > plan.max_weight && before <= plan.max_weight {
                // Once, because no weight is below the one before.
                let maximum = plan.max_weight;
                self.fault(field, format!("{weight} is above `max_weight`, which is {maximum}"));
            }
            before = weight;
        }
        let Some(Bake { holdback, .. }) = &plan.bake else { return };
        let left = Weight::FULL.ppm() - holdback.ppm();
        if !(1..=500_000).contains(&holdback.ppm()) {
            let expected = "expected a weight above 0% and at most 50%";
            self.fault("bake.holdback", format!("{holdback}: {expected}"));
        } else if left < before.ppm() {
            let message =
                format!("{holdback} leaves the canary less than the last step's {before}");
            self.fault("bake.holdback", message);
        }
    }

    /// Checks a step at 100%, in which stable has no calls to compare with.
    fn step_with_all_calls(&mut self, index: usize, step: &Step, before: Weight) {
        if before == Weight::ZERO {
            let message = "expected a step above 0% and below 100% before: the canary gets all calls \
                           only after stable's have been compared with its own";
            self.fault(format!("steps[{index}].weight"), message);
        }
        if step.advance_when == AdvanceWhen::Healthy {
            let message = "stable has no calls at 100% that could prove the canary healthy";
            self.fault(format!("steps[{index}].advance_when"), message);
        }
    }

    /// Checks a step at 0%, in which only probes, gates and mirrored calls reach the canary.
    fn step_without_calls(&mut self, index: usize, step: &Step, is_last: bool) {
        if is_last {
            let message =
                "expected a weight above 0% in the last step, found 0%: the promotion needs calls";
            self.fault(format!("steps[{index}].weight"), message);
        }
        if step.min_calls > 0 {
            let message = format!("{} calls: a step at 0% has none", step.min_calls);
            self.fault(format!("steps[{index}].min_calls"), message);
        }
        if step.advance_when == AdvanceWhen::Healthy {
            let message = "a step at 0% has no calls that could prove the canary healthy";
            self.fault(format!("steps[{index}].advance_when"), message);
        }
    }
}
