use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use canary_rollout::Notice;
use tokio::sync::Notify;

use super::notification::Notification;

/// So many events wait for a receiver at most. A rollout of 32 steps has about as many.
pub const QUEUE_CAPACITY: usize = 64;

/// How a receiver's deliveries went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Deliveries {
    /// Events that the receiver took.
    pub delivered: u64,
    /// Events that it did not take, though it was asked as often as the plan says.
    pub failed: u64,
    /// Events that were dropped, because too many waited.
    pub dropped: u64,
    /// Events that wait, the one under way included.
    pub waiting: usize,
}

/// What waits for one receiver, oldest first.
///
/// If it is full the oldest goes: that the canary was rolled back matters more than how it began.
#[derive(Debug, Default)]
pub(super) struct NotificationQueue {
    inner: Mutex<QueueState>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<QueuedNotification>,
    is_closed: bool,
    is_sending: bool,
    /// Events that were lost since the one that was delivered last.
    lost: u64,
    delivered: u64,
    failed: u64,
    dropped: u64,
}

/// An event, and how it is to be told: the plan may have changed since.
#[derive(Clone, Debug)]
pub(super) struct QueuedNotification {
    pub(super) notice: Arc<Notice>,
    pub(super) notification: Notification,
}

impl NotificationQueue {
    /// Puts a queued last. It is whether none was dropped for it.
    pub(super) fn push(&self, queued: QueuedNotification) -> bool {
        let mut inner = self.lock();
        if inner.is_closed {
            inner.dropped += 1;
            return false;
        }
        inner.waiting.push_back(queued);
        let is_overfull = inner.waiting.len() > QUEUE_CAPACITY;
        if is_overfull {
            inner.waiting.pop_front();
            inner.dropped += 1;
            inner.lost += 1;
        }
        drop(inner);
        self.wake.notify_one();
        !is_overfull
    }

    /// Takes the first queued once there is one, and how many events were lost since the one that was
    /// delivered last; nothing if the queue is closed and empty. One task may call it.
    pub(super) async fn next(&self) -> Option<(QueuedNotification, u64)> {
        loop {
            {
                let mut inner = self.lock();
                if let Some(queued) = inner.waiting.pop_front() {
                    inner.is_sending = true;
                    return Some((queued, inner.lost));
                }
                if inner.is_closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// The queued that was taken last is delivered, after so many were reported lost, or is not.
    pub(super) fn done(&self, is_delivered: bool, reported: u64) {
        let mut inner = self.lock();
        inner.is_sending = false;
        if is_delivered {
            inner.delivered += 1;
            inner.lost -= reported;
        } else {
            inner.failed += 1;
            inner.lost += 1;
        }
    }

    /// No more letters are taken. Those that wait are still sent.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
    }

    pub(super) fn deliveries(&self) -> Deliveries {
        let inner = self.lock();
        let waiting = inner.waiting.len() + usize::from(inner.is_sending);
        let QueueState { delivered, failed, dropped, .. } = *inner;
        Deliveries { delivered, failed, dropped, waiting }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
