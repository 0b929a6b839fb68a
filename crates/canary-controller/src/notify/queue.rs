use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use canary_rollout::plan::NotifyTarget;
use tokio::sync::Notify;

use super::notification::Notification;

/// The maximum number of queued events per receiver: 64. A rollout of 32 steps has about as many.
pub const QUEUE_CAPACITY: usize = 64;

/// The delivery counts of a receiver.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Deliveries {
    /// Events that the receiver accepted.
    pub delivered: u64,
    /// Events that the receiver did not accept, after all retries.
    pub failed: u64,
    /// Events that were dropped because the queue was full or closed.
    pub dropped: u64,
    /// Queued events, including the one being sent.
    pub waiting: usize,
}

/// The events queued for one receiver, oldest first.
///
/// A full queue drops the oldest event, because the latest events, such as a rollback, matter most.
#[derive(Debug, Default)]
pub(super) struct NotificationQueue {
    state: Mutex<QueueState>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<QueuedNotification>,
    is_closed: bool,
    is_sending: bool,
    /// Events that were dropped or failed since the last delivered event.
    lost: u64,
    delivered: u64,
    failed: u64,
    dropped: u64,
}

/// An event and its receiver as configured when the event was queued. The plan may change later.
#[derive(Clone, Debug)]
pub(super) struct QueuedNotification {
    pub(super) target: Arc<NotifyTarget>,
    pub(super) notification: Notification,
}

impl NotificationQueue {
    /// Appends an event. Returns false if an event was dropped.
    pub(super) fn push(&self, queued: QueuedNotification) -> bool {
        let mut state = self.lock();
        if state.is_closed {
            state.dropped += 1;
            return false;
        }
        state.waiting.push_back(queued);
        let is_overfull = state.waiting.len() > QUEUE_CAPACITY;
        if is_overfull {
            state.waiting.pop_front();
            state.dropped += 1;
            state.lost += 1;
        }
        drop(state);
        self.wake.notify_one();
        !is_overfull
    }

    /// Waits for the first event and removes it. Returns it with the number of events lost since
    /// the last delivered one, or `None` if the queue is closed and empty. Only one task may call
    /// this.
    pub(super) async fn next(&self) -> Option<(QueuedNotification, u64)> {
        loop {
            {
                let mut state = self.lock();
                if let Some(queued) = state.waiting.pop_front() {
                    state.is_sending = true;
                    return Some((queued, state.lost));
                }
                if state.is_closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Records the result of the event returned last. `reported` is the number of lost events that
    /// the message contained.
    pub(super) fn done(&self, is_delivered: bool, reported: u64) {
        let mut state = self.lock();
        state.is_sending = false;
        if is_delivered {
            state.delivered += 1;
            state.lost -= reported;
        } else {
            state.failed += 1;
            state.lost += 1;
        }
    }

    /// Rejects further events. Queued events are still sent.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
    }

    pub(super) fn deliveries(&self) -> Deliveries {
        let state = self.lock();
        let waiting = state.waiting.len() + usize::from(state.is_sending);
        let QueueState { delivered, failed, dropped, .. } = *state;
        Deliveries { delivered, failed, dropped, waiting }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
