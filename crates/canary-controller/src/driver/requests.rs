use std::collections::BTreeMap;

use canary_rollout::{Actor, Order, Plan, Transition, event::EventId, replica::CommandId};
use tokio::{sync::oneshot, time::Instant};

use crate::{command_error::CommandError, weight_lock::RollbackHold};

/// A command and the sender for its result.
pub(crate) struct CommandRequest {
    pub(crate) order: Order,
    /// The latest event that the rollout must have, if any.
    pub(crate) seen: Option<EventId>,
    pub(crate) requested_at: Instant,
    pub(crate) response: oneshot::Sender<Result<Transition, CommandError>>,
    /// Blocks weight increases until the command is settled. Present if the handle has already
    /// rolled the canary back.
    pub(crate) hold: Option<RollbackHold>,
}

/// A new plan and the sender for its result.
pub(crate) struct PlanRequest {
    pub(crate) plan: Plan,
    pub(crate) by: Actor,
    pub(crate) reason: String,
    /// The latest event that the rollout must have, if any.
    pub(crate) seen: Option<EventId>,
    pub(crate) requested_at: Instant,
    pub(crate) response: oneshot::Sender<Result<Transition, CommandError>>,
}

/// What a [`RolloutHandle`](crate::RolloutHandle) asks of the driver. It is boxed, because an empty queue
/// has room for 32.
pub(crate) enum Request {
    Command(Box<CommandRequest>),
    Plan(Box<PlanRequest>),
}

/// The commands that are not settled.
#[derive(Default)]
pub(super) struct Requests {
    next: u64,
    open: BTreeMap<CommandId, Open>,
}

struct Open {
    /// `None` after the reply.
    response: Option<oneshot::Sender<Result<Transition, CommandError>>>,
    _hold: Option<RollbackHold>,
}

impl Requests {
    pub(super) fn open(
        &mut self,
        response: oneshot::Sender<Result<Transition, CommandError>>,
        hold: Option<RollbackHold>,
    ) -> CommandId {
        let id = CommandId(self.next);
        self.next += 1;
        self.open.insert(id, Open { response: Some(response), _hold: hold });
        id
    }

    pub(super) fn reply(&mut self, id: CommandId, result: Result<Transition, CommandError>) {
        if let Some(response) = self.open.get_mut(&id).and_then(|open| open.response.take()) {
            // Fails if the caller has gone.
            let _ = response.send(result);
        }
    }

    /// Allows the raises of the weight that the command has blocked.
    pub(super) fn release(&mut self, id: CommandId) {
        self.open.remove(&id);
    }
}
