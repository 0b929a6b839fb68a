use canary_rollout::{Actor, Plan, Transition, event::EventId};
use tokio::{sync::oneshot, time::Instant};

use super::RolloutHandle;
use crate::{
    command_error::CommandError,
    driver::{PlanRequest, Request},
    monitors,
    requirements::Unmet,
};

impl RolloutHandle {
    /// Replaces the plan. The new plan applies from the next start.
    ///
    /// After a restart of the process, the plan of the code replaces it again; if the rollout is in
    /// progress then, when it ends.
    ///
    /// # Errors
    ///
    /// Returns [`CommandError::Plan`] if this process does not meet the plan's requirements, as
    /// [`Controller::add`](crate::Controller::add) does, and [`CommandError::PlanInUse`] if the rollout
    /// is in progress with another plan. For other errors, see [`command`](Self::command).
    pub async fn replace_plan(
        &self,
        plan: Plan,
        by: Actor,
        reason: &str,
    ) -> Result<Transition, CommandError> {
        self.send_plan(plan, by, reason, None).await
    }

    /// Replaces the plan if its author has seen the [latest](canary_rollout::Rollout::latest) event.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`replace_plan`](Self::replace_plan), and [`CommandError::Changed`] if the
    /// rollout has another latest event.
    pub async fn replace_plan_at(
        &self,
        seen: &EventId,
        plan: Plan,
        by: Actor,
        reason: &str,
    ) -> Result<Transition, CommandError> {
        self.send_plan(plan, by, reason, Some(*seen)).await
    }

    async fn send_plan(
        &self,
        plan: Plan,
        by: Actor,
        reason: &str,
        seen: Option<EventId>,
    ) -> Result<Transition, CommandError> {
        let checks =
            [self.0.effects.check_plan(&plan), monitors::check_plan(&plan, &self.0.canary)];
        Unmet::all(checks)?;
        let (response, result) = oneshot::channel();
        let (reason, requested_at) = (reason.to_owned(), Instant::now());
        let request = PlanRequest { plan, by, reason, seen, requested_at, response };
        let request = Request::Plan(Box::new(request));
        self.0.requests.send(request).map_err(|_| CommandError::Stopped)?;
        result.await.map_err(|_| CommandError::Stopped)?
    }
}
