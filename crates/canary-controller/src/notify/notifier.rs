use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use canary_core::CanaryName;
use canary_rollout::{Plan, plan::NotifyTarget};
use tokio::{task::JoinSet, time::timeout};

use super::{
    notification::Notification,
    queue::{Deliveries, NotificationQueue, QueuedNotification},
    receiver,
};
use crate::{requirements::Unmet, webhook::WebhookClient};

/// Sends events to the receivers of plans.
///
/// Each receiver has a queue, which preserves the order of the events, and a task that sends them.
/// A receiver that hangs delays neither the other receivers nor the driver. A queue holds
/// [`QUEUE_CAPACITY`](super::QUEUE_CAPACITY) events; when it is full, the oldest event is dropped.
/// Undelivered events are counted and logged, and the next delivered message contains their number.
///
/// Dropping the notifier aborts its tasks. [`shutdown`](Self::shutdown) lets them finish.
pub struct Notifier {
    client: WebhookClient,
    state: Mutex<NotifierState>,
}

#[derive(Default)]
struct NotifierState {
    receivers: BTreeMap<CanaryName, BTreeMap<String, Receiver>>,
    tasks: JoinSet<()>,
    /// Closed queues that may still hold events.
    closed: Vec<Arc<NotificationQueue>>,
    is_shut_down: bool,
}

struct Receiver {
    target: Arc<NotifyTarget>,
    queue: Arc<NotificationQueue>,
}

impl Notifier {
    /// Creates a notifier without receivers.
    #[must_use]
    pub fn new(client: WebhookClient) -> Self {
        Self { client, state: Mutex::default() }
    }

    /// Checks that all receivers of the plan can be notified.
    ///
    /// # Errors
    ///
    /// Returns an error if a webhook of the plan cannot be used, for example because its secret is
    /// missing.
    pub fn check_plan(&self, plan: &Plan) -> Result<(), Unmet> {
        let needs = |(name, target): (&String, &NotifyTarget)| {
            self.client.unmet_requirements(&format!("notify.{name}.webhook"), &target.webhook)
        };
        Unmet::check(plan.notify().iter().flat_map(needs).collect())
    }

    /// Sets the receivers of a canary to those of the plan.
    ///
    /// A receiver keeps its queue if it was registered before under the same name. Queued events
    /// are sent as the previous plan configured, even to receivers that the new plan does not have.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`check_plan`](Self::check_plan). Nothing is changed then.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime if the plan has receivers.
    pub fn register(&self, canary: &CanaryName, plan: &Plan) -> Result<(), Unmet> {
        self.check_plan(plan)?;
        let mut state = self.lock();
        if state.is_shut_down {
            return Ok(());
        }
        state.remove_finished();
        let mut previous = state.receivers.remove(canary).unwrap_or_default();
        let mut receivers = BTreeMap::new();
        for (name, target) in plan.notify() {
            let target = Arc::new(target.clone());
            let queue = previous.remove(name).map(|it| it.queue).unwrap_or_else(|| {
                let queue = Arc::new(NotificationQueue::default());
                let client = self.client.clone();
                state.tasks.spawn(receiver::serve(name.clone(), Arc::clone(&queue), client));
                queue
            });
            receivers.insert(name.clone(), Receiver { target, queue });
        }
        state.close(previous);
        if !receivers.is_empty() {
            state.receivers.insert(canary.clone(), receivers);
        }
        Ok(())
    }

    /// Removes the receivers of a canary. Queued events are still sent.
    pub fn unregister(&self, canary: &CanaryName) {
        let mut state = self.lock();
        state.remove_finished();
        let previous = state.receivers.remove(canary).unwrap_or_default();
        state.close(previous);
    }

    /// Queues an event for a receiver of its canary, without waiting.
    ///
    /// Logs a warning if an event is dropped because the queue is full, or because the receiver is
    /// not registered.
    pub fn notify(&self, to: &str, notification: Notification) {
        let (canary, event) = (notification.canary.clone(), notification.event.number);
        let is_queued = {
            let state = self.lock();
            let receivers = state.receivers.get(&canary);
            receivers.and_then(|receivers| receivers.get(to)).map(|receiver| {
                let target = Arc::clone(&receiver.target);
                receiver.queue.push(QueuedNotification { target, notification })
            })
        };
        let message = match is_queued {
            Some(true) => return,
            Some(false) => "the queue is full: dropped the oldest event",
            None => "the receiver is not registered: dropped the event",
        };
        let canary = canary.as_str();
        tracing::warn!(target: "canary::notify", canary, receiver = to, event, "{message}");
    }

    /// Returns the delivery counts of a receiver, or `None` if it is not registered.
    #[must_use]
    pub fn deliveries(&self, canary: &CanaryName, receiver: &str) -> Option<Deliveries> {
        Some(self.lock().receivers.get(canary)?.get(receiver)?.queue.deliveries())
    }

    /// Sends the queued events for at most `grace`, then ends all tasks. Returns the number of
    /// events that are still queued.
    ///
    /// Later events are dropped and logged. Dropping the future aborts all tasks.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        let (mut tasks, queues) = {
            let mut state = self.lock();
            state.is_shut_down = true;
            for (_, receivers) in mem::take(&mut state.receivers) {
                state.close(receivers);
            }
            (mem::take(&mut state.tasks), mem::take(&mut state.closed))
        };
        let all_done = async { while tasks.join_next().await.is_some() {} };
        let is_late = timeout(grace, all_done).await.is_err();
        tasks.shutdown().await;
        let waiting = queues.iter().map(|queue| queue.deliveries().waiting).sum();
        if is_late {
            tracing::warn!(target: "canary::notify", waiting, "shut down before all events were sent");
        }
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, NotifierState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NotifierState {
    fn close(&mut self, receivers: BTreeMap<String, Receiver>) {
        for (_, Receiver { queue, .. }) in receivers {
            queue.close();
            self.closed.push(queue);
        }
    }

    fn remove_finished(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.closed.retain(|queue| queue.deliveries().waiting > 0);
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let count: usize = state.receivers.values().map(BTreeMap::len).sum();
        f.debug_struct("Notifier").field("receivers", &count).finish_non_exhaustive()
    }
}
