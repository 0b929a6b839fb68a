use std::{fmt, sync::Arc};

use canary_core::CanaryName;
use canary_rollout::{Actor, Command, Event, Order, Outcome, Refusal, Releases};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tower_canary::CanaryHandle;

use crate::{Status, alarm::Alarm, driver::Request};

/// Controls and observes one rollout, from anywhere in the process.
///
/// Handles are cheap to clone. A handle does not keep the controller running.
#[derive(Clone)]
pub struct RolloutHandle {
    canary: CanaryHandle,
    alarm: Arc<Alarm>,
    requests: mpsc::UnboundedSender<Request>,
    status: watch::Receiver<Arc<Status>>,
    events: broadcast::Sender<Event>,
}

impl RolloutHandle {
    pub(crate) const fn new(
        canary: CanaryHandle,
        alarm: Arc<Alarm>,
        requests: mpsc::UnboundedSender<Request>,
        status: watch::Receiver<Arc<Status>>,
        events: broadcast::Sender<Event>,
    ) -> Self {
        Self { canary, alarm, requests, status, events }
    }

    /// The canary's name.
    #[must_use]
    pub fn name(&self) -> &CanaryName {
        self.canary.name()
    }

    /// The data plane's handle of the canary.
    #[must_use]
    pub const fn canary(&self) -> &CanaryHandle {
        &self.canary
    }

    /// Does what somebody says.
    ///
    /// A rollback or halt takes effect before this waits for anybody, and whatever becomes of the store;
    /// it is stored as soon as that is possible. Any other command takes effect once it is stored.
    ///
    /// If the future is dropped, a rollback or halt is done and stored all the same. Any other command is
    /// done only if its turn had come.
    ///
    /// # Errors
    ///
    /// If the rollout refuses the command, or it could not be stored: nothing is changed then. If the
    /// controller has stopped, only a rollback or halt has had an effect.
    pub async fn command(&self, order: Order) -> Result<Outcome, CommandError> {
        self.send(order, None).await
    }

    /// As [`command`](Self::command), if nobody has changed the rollout since it was at this
    /// [generation](canary_rollout::Rollout::generation). A rollback or halt is done in any case.
    ///
    /// # Errors
    ///
    /// As for [`command`](Self::command), and if somebody has.
    pub async fn command_at(&self, generation: u64, order: Order) -> Result<Outcome, CommandError> {
        self.send(order, Some(generation)).await
    }

    /// Starts the plan.
    ///
    /// # Errors
    ///
    /// As for [`command`](Self::command).
    pub async fn start(&self, by: Actor, reason: &str) -> Result<Outcome, CommandError> {
        self.command(Order::new(Command::Start, by, reason)).await
    }

    /// Gives stable every call, at once.
    ///
    /// # Errors
    ///
    /// As for [`command`](Self::command).
    pub async fn roll_back(&self, by: Actor, reason: &str) -> Result<Outcome, CommandError> {
        self.command(Order::new(Command::RollBack, by, reason)).await
    }

    /// What is known of the rollout now.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.borrow())
    }

    /// What is known of the rollout, whenever that changes: once a second at least, until the controller
    /// stops.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Status>> {
        let mut status = self.status.clone();
        status.mark_changed();
        status
    }

    /// What happens from now on, event by event. Those before are in the
    /// [status](canary_rollout::Rollout::history).
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Whether the controller still runs the rollout. If not, the weight stays as it is, and its guard
    /// still rolls a failing canary back.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.requests.is_closed()
    }

    async fn send(&self, order: Order, generation: Option<u64>) -> Result<Outcome, CommandError> {
        let taken_back = match &order.command {
            Command::RollBack => Some(self.alarm.take_back(|| self.canary.roll_back())),
            Command::Halt => Some(self.alarm.take_back(|| self.canary.halt(order.reason.clone()))),
            _ => None,
        };
        let (answer, answered) = oneshot::channel();
        let request = Request { order, generation, answer, taken_back };
        // Nothing is waited for up to here, so that no rollback is dropped on its way.
        self.requests.send(request).map_err(|_| CommandError::Stopped)?;
        answered.await.map_err(|_| CommandError::Stopped)?
    }
}

impl fmt::Debug for RolloutHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RolloutHandle")
            .field("name", self.name())
            .field("waits", &self.status().waits)
            .finish_non_exhaustive()
    }
}

/// A command that was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The rollout's state does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Somebody has changed the rollout meanwhile.
    #[error("the rollout is at generation {generation}, and not at {seen} any more")]
    #[non_exhaustive]
    Changed {
        /// The generation that the command was meant for.
        seen: u64,
        /// The one in force.
        generation: u64,
    },
    /// The stored rollout is not known yet.
    #[error("the stored rollout is not known yet: {0}")]
    Unloaded(String),
    /// It could not be stored.
    #[error("it could not be stored, and nothing is changed: {0}")]
    Unsaved(String),
    /// The store has not said whether it has stored it. Nothing is changed yet; it will be, if the store
    /// has.
    #[error("it is unknown whether it was stored, and nothing is changed yet: {0}")]
    Unknown(String),
    /// The rollout is about other releases than those of this process.
    #[error("the rollout is about {} against {} now, and this process runs others", .0.canary, .0.stable)]
    OtherReleases(Releases),
    /// Others kept storing something else.
    #[error("others keep changing the rollout: try again")]
    Contended,
    /// The controller has stopped.
    #[error("the controller has stopped")]
    Stopped,
}
