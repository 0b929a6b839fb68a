use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use canary_core::CanaryName;
use canary_rollout::{Notice, Plan};
use tokio::{task::JoinSet, time::timeout};

use super::{
    notification::Notification,
    queue::{Deliveries, NotificationQueue, QueuedNotification},
    receiver,
};
use crate::{requirements::Unmet, webhook::WebhookClient};

/// Tells the receivers of plans what happens.
///
/// Each receiver has a queue of its own, in the order of the events, and a task that empties it: one
/// that hangs delays neither the others nor whoever drives the rollouts. A queue has room for
/// [`QUEUE_CAPACITY`](super::QUEUE_CAPACITY) events, and the oldest make room for those to come. What
/// could not be told is counted, logged, and mentioned in the next message that arrives.
///
/// The tasks end with the notifier: at once if it is dropped, in order if it is
/// [shut down](Self::shutdown).
pub struct Notifier {
    client: WebhookClient,
    state: Mutex<NotifierState>,
}

#[derive(Default)]
struct NotifierState {
    receivers: BTreeMap<CanaryName, BTreeMap<String, Receiver>>,
    tasks: JoinSet<()>,
    /// Queues that are closed and whose tasks may not have emptied them yet.
    closed: Vec<Arc<NotificationQueue>>,
    is_shut_down: bool,
}

struct Receiver {
    notice: Arc<Notice>,
    queue: Arc<NotificationQueue>,
}

impl Notifier {
    /// A notifier without receivers, which sends by this client.
    #[must_use]
    pub fn new(client: WebhookClient) -> Self {
        Self { client, state: Mutex::default() }
    }

    /// Checks that every receiver of the plan can be told.
    ///
    /// # Errors
    ///
    /// If one has a webhook that cannot be sent to, because its secret is missing for example.
    pub fn check_plan(&self, plan: &Plan) -> Result<(), Unmet> {
        let needs = |(name, notice): (&String, &Notice)| {
            self.client.needs(&format!("notify.{name}.webhook"), &notice.webhook)
        };
        Unmet::check(plan.notify().iter().flat_map(needs).collect())
    }

    /// Makes the plan's receivers those of the canary.
    ///
    /// A receiver that the canary had before under the same name keeps its queue, and gets what is
    /// queued as the plan said before. One that the plan no longer has still gets what is queued.
    ///
    /// # Errors
    ///
    /// As [`check_plan`](Self::check_plan) says. Nothing has changed then.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, if the plan has receivers.
    pub fn register(&self, canary: &CanaryName, plan: &Plan) -> Result<(), Unmet> {
        self.check_plan(plan)?;
        let mut state = self.lock();
        if state.is_shut_down {
            return Ok(());
        }
        state.tidy();
        let mut before = state.receivers.remove(canary).unwrap_or_default();
        let mut receivers = BTreeMap::new();
        for (name, notice) in plan.notify() {
            let notice = Arc::new(notice.clone());
            let queue = before.remove(name).map(|it| it.queue).unwrap_or_else(|| {
                let queue = Arc::new(NotificationQueue::default());
                let client = self.client.clone();
                state.tasks.spawn(receiver::serve(name.clone(), Arc::clone(&queue), client));
                queue
            });
            receivers.insert(name.clone(), Receiver { notice, queue });
        }
        state.close(before);
        if !receivers.is_empty() {
            state.receivers.insert(canary.clone(), receivers);
        }
        Ok(())
    }

    /// Forgets the canary's receivers. They still get what is queued.
    pub fn unregister(&self, canary: &CanaryName) {
        let mut state = self.lock();
        state.tidy();
        let before = state.receivers.remove(canary).unwrap_or_default();
        state.close(before);
    }

    /// Queues an event for a receiver of its canary. It never waits.
    ///
    /// If the queue is full, or there is no such receiver, that is logged.
    pub fn notify(&self, to: &str, notification: Notification) {
        let (canary, event) = (notification.canary.clone(), notification.event.number);
        let is_taken = {
            let state = self.lock();
            let receivers = state.receivers.get(&canary);
            receivers.and_then(|receivers| receivers.get(to)).map(|receiver| {
                let notice = Arc::clone(&receiver.notice);
                receiver.queue.push(QueuedNotification { notice, notification })
            })
        };
        let why = match is_taken {
            Some(true) => return,
            Some(false) => "its queue is full, and the oldest event was dropped",
            None => "it is not registered, and the event was dropped",
        };
        let canary = canary.as_str();
        tracing::warn!(target: "canary::notify", canary, receiver = to, event, "{why}");
    }

    /// How the deliveries to a receiver of a canary went; nothing if there is no such receiver.
    #[must_use]
    pub fn deliveries(&self, canary: &CanaryName, receiver: &str) -> Option<Deliveries> {
        Some(self.lock().receivers.get(canary)?.get(receiver)?.queue.deliveries())
    }

    /// Lets what is queued be told, but no longer than this, and ends all tasks. It is the number of
    /// events that were still waiting then.
    ///
    /// What is to be told afterwards is dropped and logged. Dropping the future ends all tasks at once.
    pub async fn shutdown(&self, within: Duration) -> usize {
        let (mut tasks, queues) = {
            let mut state = self.lock();
            state.is_shut_down = true;
            for (_, receivers) in mem::take(&mut state.receivers) {
                state.close(receivers);
            }
            (mem::take(&mut state.tasks), mem::take(&mut state.closed))
        };
        let all_done = async { while tasks.join_next().await.is_some() {} };
        let is_late = timeout(within, all_done).await.is_err();
        tasks.shutdown().await;
        let waiting = queues.iter().map(|queue| queue.deliveries().waiting).sum();
        if is_late {
            tracing::warn!(target: "canary::notify", waiting, "shut down with events untold");
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

    /// Forgets the tasks that are done.
    fn tidy(&mut self) {
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
