use std::sync::Arc;

use canary_rollout::{Plan, Rollout, event::Event};

use crate::{
    gate::GateRunner,
    notify::{Notification, Notifier, PageUrl},
    probe::ProbeRunner,
    requirements::Unmet,
};

/// The runners of a plan's probes and gates, and the notifier with the page that it links to.
pub(crate) struct Effects {
    pub(crate) probes: ProbeRunner,
    pub(crate) gates: GateRunner,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) page: Option<PageUrl>,
}

impl Effects {
    /// Checks that everything the plan refers to is registered.
    pub(crate) fn check_plan(&self, plan: &Plan) -> Result<(), Unmet> {
        Unmet::all([self.check_tasks(plan), self.notifier.check_plan(plan)])
    }

    /// Checks the probes and the gates of a plan.
    pub(crate) fn check_tasks(&self, plan: &Plan) -> Result<(), Unmet> {
        Unmet::all([self.probes.check_plan(plan), self.gates.check_plan(plan)])
    }

    /// Queues an event for a receiver of the plan.
    pub(crate) fn notify(&self, to: &str, rollout: &Rollout, event: Event) {
        let notification = Notification::new(rollout, event);
        let notification = match &self.page {
            Some(page) => notification.with_page(page),
            None => notification,
        };
        self.notifier.notify(to, notification);
    }
}
