use std::sync::Arc;

use canary_rollout::Plan;

use crate::{Unmet, gate::GateRunner, notify::Notifier, probe::ProbeRunner};

/// What a plan can set off in the world outside.
pub(crate) struct Effects {
    pub(crate) probes: ProbeRunner,
    pub(crate) gates: GateRunner,
    pub(crate) notifier: Arc<Notifier>,
}

impl Effects {
    /// Checks that all that the plan names is there.
    pub(crate) fn check_plan(&self, plan: &Plan) -> Result<(), Unmet> {
        Unmet::all([
            self.probes.check_plan(plan),
            self.gates.check_plan(plan),
            self.notifier.check_plan(plan),
        ])
    }
}
