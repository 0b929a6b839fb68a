use canary_rollout::{Command, Order, Transition};

use crate::{
    driver::{
        run::{CommandRequest, Driver, MAX_ATTEMPTS, TARGET, is_immediate},
        save::ApplyResult,
    },
    handle::CommandError,
    weight_lock::RollbackHold,
};

impl Driver {
    /// Executes a command and sends the result to its caller. Skips a command whose caller has
    /// gone, unless it is a rollback or halt.
    pub(super) async fn handle_request(&mut self, request: CommandRequest) {
        let CommandRequest { order, generation, response, hold } = request;
        if response.is_closed() && !is_immediate(&order.command) {
            return;
        }
        let result = self.execute(&order, generation, hold).await;
        self.publish_status();
        // Fails if the caller has gone.
        let _ = response.send(result);
    }

    /// Executes a command. Refuses it if the rollout is not at `generation`, unless that is `None`.
    /// Queues a rollback or halt that cannot be executed now.
    async fn execute(
        &mut self,
        order: &Order,
        generation: Option<u64>,
        hold: Option<RollbackHold>,
    ) -> Result<Transition, CommandError> {
        if self.load_error.is_some() {
            self.load().await;
        }
        if let Some(reason) = self.load_error.clone() {
            let queued = self.queue_if_immediate(order, hold, &reason);
            return queued.ok_or(CommandError::NotLoaded(reason));
        }
        for _ in 0..MAX_ATTEMPTS {
            let current = self.rollout.generation();
            if !is_immediate(&order.command) {
                if let Some(expected) = generation.filter(|expected| *expected != current) {
                    return Err(CommandError::Changed { expected, current });
                }
                if !self.owns_releases() {
                    return Err(CommandError::OtherReleases(self.rollout.releases().clone()));
                }
            }
            let mut after = self.rollout.clone();
            let mut transition = after.command(self.clock.now(), order)?;
            if transition.actions.is_empty() {
                return Ok(transition);
            }
            if matches!(order.command, Command::SetVariables(_)) {
                self.variables.check(&self.canary, &transition.actions)?;
            }
            match self.apply(after, &transition).await {
                ApplyResult::Applied => return Ok(transition),
                ApplyResult::NotStoredYet(error) => {
                    transition.note = Some(format!("in force, but not stored yet: {error}"));
                    return Ok(transition);
                }
                ApplyResult::NotSaved(error) => return Err(CommandError::NotStored(error)),
                ApplyResult::Unknown(error) => return Err(CommandError::Unknown(error)),
                ApplyResult::Superseded => {}
            }
        }
        let reason = CommandError::Contended.to_string();
        self.queue_if_immediate(order, hold, &reason).ok_or(CommandError::Contended)
    }

    /// Queues a rollback or halt, which the data plane has already carried out. Returns `None` for
    /// other commands.
    fn queue_if_immediate(
        &mut self,
        order: &Order,
        hold: Option<RollbackHold>,
        reason: &str,
    ) -> Option<Transition> {
        let mut transition = Transition::default();
        transition.note = Some(format!("in force, but not stored yet: {reason}"));
        is_immediate(&order.command).then(|| {
            self.queued_orders.push_back((order.clone(), hold));
            transition
        })
    }

    /// Queues a command of the driver itself.
    pub(super) fn enqueue(&mut self, order: Order) {
        self.queued_orders.push_back((order, None));
    }

    /// Executes the commands that are queued now. The rollout may refuse a command that was allowed
    /// when it was queued.
    pub(super) async fn run_queued(&mut self) {
        for _ in 0..self.queued_orders.len() {
            if self.load_error.is_some() {
                return;
            }
            let Some((order, hold)) = self.queued_orders.pop_front() else { return };
            if let Err(error) = self.execute(&order, None, hold).await {
                tracing::warn!(target: TARGET, canary = %self.canary.name(), "{error}");
            }
        }
    }
}
