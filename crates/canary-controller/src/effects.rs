use std::sync::Arc;

use canary_rollout::Plan;

use crate::{gate::GateRunner, notify::Notifier, probe::ProbeRunner, requirements::Unmet};

/// The runners of a plan's probes and gates, and the notifier.
pub(crate) struct Effects {
    pub(crate) probes: ProbeRunner,
    pub(crate) gates: GateRunner,
    pub(crate) notifier: Arc<Notifier>,
}

impl Effects {
    /// Checks that everything the plan refers to is registered.
    pub(crate) fn check_plan(&self, plan: &Plan) -> Result<(), Unmet> {
        Unmet::all([
            self.probes.check_plan(plan),
            self.gates.check_plan(plan),
            self.notifier.check_plan(plan),
        ])
    }
}
