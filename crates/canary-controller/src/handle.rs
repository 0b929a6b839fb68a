mod plan;

use std::{fmt, sync::Arc};

use canary_core::{CanaryName, PerChannel, Weight};
use canary_rollout::{
    Actor, Command, Order, Timestamp, Transition,
    command::Refusal,
    event::{Event, EventId},
    outlook::{Outlook, Traffic},
    preview::Preview,
    variables::VariablePatches,
};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::Instant,
};
use tower_canary::CanaryHandle;

use crate::{
    clock::Clock,
    command_error::CommandError,
    decision::Decision,
    driver::{CommandRequest, Request, default_unit},
    effects::Effects,
    history::History,
    status::Status,
    store::StoreError,
    viewers::{Viewer, Viewers},
    weight_lock::WeightLock,
};

/// Controls and observes one rollout, from anywhere in the process.
///
/// Each command names its actor and a reason; both are stored with the rollout's events. The
/// [table of states](crate::rollout::states) lists which commands each state allows.
///
/// A [rollback](Self::roll_back) or [halt](Self::halt) takes effect on the first poll of its
/// future, even if the store is unavailable or the controller has stopped. It is also stored if the
/// future is dropped after that. All other commands take effect once they are stored; one whose
/// future is dropped early may be lost.
///
/// Handles are cheap to clone. A handle does not keep the controller running.
#[derive(Clone)]
pub struct RolloutHandle(HandleParts);

/// The parts of a handle.
#[derive(Clone)]
pub(crate) struct HandleParts {
    pub(crate) canary: CanaryHandle,
    pub(crate) weight_lock: Arc<WeightLock>,
    pub(crate) effects: Arc<Effects>,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
    pub(crate) status: watch::Receiver<Arc<Status>>,
    pub(crate) events: broadcast::Sender<Arc<Event>>,
    pub(crate) latest: watch::Receiver<Option<EventId>>,
    pub(crate) history: History,
    pub(crate) clock: Clock,
    pub(crate) viewers: Viewers,
}

impl RolloutHandle {
    pub(crate) const fn new(parts: HandleParts) -> Self {
        Self(parts)
    }

    /// Starts the plan at its first step.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn start(&self, by: Actor, reason: &str) -> Result<Transition, CommandError> {
        self.give(Command::Start, by, reason).await
    }

    /// Holds the weight until [`resume`](Self::resume). The judge continues, and can still roll
    /// back.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn pause(&self, by: Actor, reason: &str) -> Result<Transition, CommandError> {
        self.give(Command::Pause, by, reason).await
    }

    /// Continues a paused plan, at the weight of its current step.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn resume(&self, by: Actor, reason: &str) -> Result<Transition, CommandError> {
        self.give(Command::Resume, by, reason).await
    }

    /// Begins the next step without waiting for the conditions of the current one.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn skip_step(&self, by: Actor, reason: &str) -> Result<Transition, CommandError> {
        self.give(Command::SkipStep, by, reason).await
    }

    /// Sets the weight, and pauses the plan.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn set_weight(
        &self,
        by: Actor,
        weight: Weight,
        reason: &str,
    ) -> Result<Transition, CommandError> {
        self.give(Command::SetWeight { weight }, by, reason).await
    }

    /// Promotes the canary without proof that it is healthy, after the bake if the plan has one.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn promote(&self, by: Actor, reason: &str) -> Result<Transition, CommandError> {
        self.give(Command::Promote, by, reason).await
    }

    /// Promotes the canary at once, and skips the bake or the rest of it.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn promote_fully(&self, by: Actor, reason: &str) -> Result<Transition, CommandError> {
        self.give(Command::PromoteFully, by, reason).await
    }

    /// Sends all calls to stable at once.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn roll_back(&self, by: Actor, reason: &str) -> Result<Transition, CommandError> {
        self.give(Command::RollBack, by, reason).await
    }

    /// Sends all calls to stable at once, and refuses every start until
    /// [`lift_halt`](Self::lift_halt).
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn halt(&self, by: Actor, reason: &str) -> Result<Transition, CommandError> {
        self.give(Command::Halt, by, reason).await
    }

    /// Lifts a halt. The weight stays zero until the next start.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn lift_halt(&self, by: Actor, reason: &str) -> Result<Transition, CommandError> {
        self.give(Command::LiftHalt, by, reason).await
    }

    /// Starts the plan again at its first step, with new evidence.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn restart(&self, by: Actor, reason: &str) -> Result<Transition, CommandError> {
        self.give(Command::Restart, by, reason).await
    }

    /// Opens a gate that is waiting for an answer. `gate` is its name in the plan.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn approve(
        &self,
        by: Actor,
        gate: &str,
        reason: &str,
    ) -> Result<Transition, CommandError> {
        self.give(Command::Approve { gate: gate.to_owned() }, by, reason).await
    }

    /// Rejects a gate that is waiting for an answer. `gate` is its name in the plan.
    ///
    /// # Errors
    ///
    /// See [`command`](Self::command).
    pub async fn reject(
        &self,
        by: Actor,
        gate: &str,
        reason: &str,
    ) -> Result<Transition, CommandError> {
        self.give(Command::Reject { gate: gate.to_owned() }, by, reason).await
    }

    /// Changes variables of the stage, overrides of the canary, or both. The weight stays.
    ///
    /// Use it instead of
    /// [`CanaryHandle::change_variables`](tower_canary::CanaryHandle::change_variables), whose
    /// changes are not stored.
    ///
    /// # Errors
    ///
    /// Returns [`CommandError::Variables`] if a channel's new variables do not deserialize into the
    /// [type](tower_canary::CanaryOptions::typed_variables) that the options name. For other errors,
    /// see [`command`](Self::command).
    pub async fn set_variables(
        &self,
        by: Actor,
        patches: VariablePatches,
        reason: &str,
    ) -> Result<Transition, CommandError> {
        self.give(Command::SetVariables(patches), by, reason).await
    }

    /// Gives a command to the rollout, and waits until it is carried out.
    ///
    /// # Errors
    ///
    /// Returns an error if the rollout refuses the command, or if the command could not be stored.
    /// Except for [`CommandError::Unknown`], the rollout is then unchanged. After the controller has
    /// stopped, every command returns [`CommandError::Stopped`]. Even then, a rollback or halt sets
    /// the weight of this process to zero.
    pub async fn command(&self, order: Order) -> Result<Transition, CommandError> {
        self.send(order, None).await
    }

    /// Gives a command to the rollout if its author has seen the [latest](canary_rollout::Rollout::latest) event.
    ///
    /// Use it to prevent commands based on an outdated status. Saved progress is not an event. A
    /// rollback or halt ignores `seen`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`command`](Self::command), and [`CommandError::Changed`] if the rollout
    /// has another latest event.
    pub async fn command_at(
        &self,
        seen: &EventId,
        order: Order,
    ) -> Result<Transition, CommandError> {
        self.send(order, Some(*seen)).await
    }

    /// Returns the exact effect that a command would have now, as data and as sentences for the place
    /// beside a button. Nothing changes.
    ///
    /// It counts the open calls of this process.
    ///
    /// # Errors
    ///
    /// Returns the refusal that the command would get.
    pub fn preview(&self, command: &Command) -> Result<Preview, Refusal> {
        let status = self.status();
        let next = status.pending_plan.as_ref();
        let preview = status.rollout.preview_with(self.now(), command, next)?;
        Ok(preview.with_open_calls(PerChannel::from_fn(|channel| self.0.canary.open(channel))))
    }

    /// Returns when the rollout will be promoted at the [observed traffic](Status::traffic), and the
    /// smallest regression that it catches by then. `None` while the traffic is unknown.
    #[must_use]
    pub fn outlook(&self) -> Option<Outlook> {
        let traffic = self.traffic()?;
        Some(self.outlook_at(&traffic))
    }

    /// Returns the outlook at this traffic.
    #[must_use]
    pub fn outlook_at(&self, traffic: &Traffic) -> Outlook {
        let status = self.status();
        let traffic = traffic.counted_by(default_unit(&self.0.canary));
        status.rollout.outlook(status.at, &traffic)
    }

    /// Returns the [observed traffic](Status::traffic) of this process; `None` in the first ten seconds.
    #[must_use]
    pub fn traffic(&self) -> Option<Traffic> {
        self.status().traffic
    }

    /// Returns the latest status.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.0.status.borrow())
    }

    /// Returns a receiver of the status, which is updated on every tick until the controller stops.
    /// A status is shared, so it is cheap to hold. [At rest](crate::Controller::interval), most ticks are
    /// left out, unless the status is [viewed](Self::keep_current).
    ///
    /// The current status counts as a change that the receiver has not seen.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Status>> {
        let mut status = self.0.status.clone();
        status.mark_changed();
        status
    }

    /// Keeps the status current while the returned value lives: it is published in each
    /// [interval](crate::Controller::interval), also at rest. Use it for a page that shows the state and
    /// the rates.
    pub fn keep_current(&self) -> Viewer {
        self.0.viewers.add()
    }

    /// Returns the time by the controller's clock, which decides on windows and cool-downs.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Returns the latest stored events, at most `most`, oldest first. They include the events of
    /// other processes, but not [unsaved](Status::unsaved) ones. Stores keep at least 256.
    ///
    /// # Errors
    ///
    /// Returns an error if the store cannot be read.
    pub async fn history(&self, most: usize) -> Result<Vec<Event>, StoreError> {
        self.0.history.read(most).await
    }

    /// Returns the evidence behind an event that depends on a verdict: a rollback, a freeze or a
    /// promotion by the judge, or the begin of a step.
    ///
    /// `None` if the history does not have the event or its evidence. The evidence is missing if
    /// another process than the driver made the change, or if the driver died before it could append
    /// the event to the history.
    ///
    /// # Errors
    ///
    /// Returns an error if the store cannot be read.
    pub async fn decision(&self, id: &EventId) -> Result<Option<Decision>, StoreError> {
        self.0.history.decision(*id).await
    }

    /// Returns a receiver of the id of the latest stored event, whichever process has stored it;
    /// `None` until there is one. Call [`history`](Self::history) after a change.
    #[must_use]
    pub fn feed(&self) -> watch::Receiver<Option<EventId>> {
        self.0.latest.clone()
    }

    /// Returns a receiver of future stored events, each once and in order, whichever process has
    /// stored them. It misses events if it lags behind by more than 32; [`history`](Self::history)
    /// has them.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.events.subscribe()
    }

    /// Returns whether the controller runs the rollout.
    ///
    /// After the controller has stopped, the weight stays as it is, and the guard still rolls back
    /// a failing canary.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.0.requests.is_closed()
    }

    /// Returns the canary's name.
    #[must_use]
    pub fn name(&self) -> &CanaryName {
        self.0.canary.name()
    }

    /// Returns the handle of the canary in the data plane.
    #[must_use]
    pub const fn canary(&self) -> &CanaryHandle {
        &self.0.canary
    }

    async fn give(
        &self,
        command: Command,
        by: Actor,
        reason: &str,
    ) -> Result<Transition, CommandError> {
        self.command(Order::new(command, by, reason)).await
    }

    async fn send(&self, order: Order, seen: Option<EventId>) -> Result<Transition, CommandError> {
        let hold = match &order.command {
            Command::RollBack => {
                Some(self.0.weight_lock.lower_and_hold(|| self.0.canary.roll_back()))
            }
            Command::Halt => {
                let reason = order.reason.clone();
                Some(self.0.weight_lock.lower_and_hold(|| self.0.canary.halt(reason)))
            }
            _ => None,
        };
        let (response, result) = oneshot::channel();
        let requested_at = Instant::now();
        let request = CommandRequest { order, seen, requested_at, response, hold };
        let request = Box::new(request);
        // There is no await before this line, so a rollback reaches the driver even if the future
        // is dropped after its first poll.
        self.0.requests.send(Request::Command(request)).map_err(|_| CommandError::Stopped)?;
        result.await.map_err(|_| CommandError::Stopped)?
    }
}

impl fmt::Debug for RolloutHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RolloutHandle")
            .field("name", self.name())
            .field("status", &self.status().summary)
            .finish_non_exhaustive()
    }
}
