use std::collections::BTreeSet;

use super::Check;
use crate::plan::definition::Plan;

impl Check {
    /// Checks that each referenced gate and probe exists, and is listed once per step.
    pub(super) fn references(&mut self, plan: &Plan, promote_gates: usize) {
        let list = |field: &str, names: &[String]| -> Vec<(String, String)> {
            let of = |(index, name): (usize, &String)| (format!("{field}[{index}]"), name.clone());
            names.iter().enumerate().map(of).collect()
        };
        let mut gates = vec![list("start.gates", &plan.start.gates)];
        let mut probes = vec![list("start.probes", &plan.start.probes)];
        for (index, step) in plan.steps.iter().enumerate() {
            let mut of_step = list(&format!("steps[{index}].gates"), &step.gates);
            if index + 1 == plan.steps.len() {
                let own = of_step.len() - promote_gates;
                for (at, (field, _)) in of_step.iter_mut().skip(own).enumerate() {
                    *field = format!("promote.gates[{at}]");
                }
            }
            gates.push(of_step);
            probes.push(list(&format!("steps[{index}].probes"), &step.probes));
        }
        if let Some(bake) = &plan.bake {
            probes.push(list("bake.probes", &bake.probes));
        }
        self.known_once(&gates, "gate", |name| plan.gates.contains_key(name));
        self.known_once(&probes, "probe", |name| plan.probes.contains_key(name));
    }

    /// Checks lists of fields and the names that they contain. A missing gate is one fault, although
    /// many steps may name it.
    fn known_once(
        &mut self,
        lists: &[Vec<(String, String)>],
        kind: &str,
        is_known: impl Fn(&str) -> bool,
    ) {
        let mut missing = BTreeSet::new();
        for list in lists {
            let mut seen = BTreeSet::new();
            for (field, name) in list {
                if !is_known(name) {
                    if missing.insert(name) {
                        self.fault(field, format!("the plan has no {kind} {name:?}"));
                    }
                } else if !seen.insert(name) {
                    self.fault(field, format!("{kind} {name:?} is listed twice"));
                }
            }
        }
    }
}
