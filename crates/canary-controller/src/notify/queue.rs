use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use canary_rollout::Notice;
use tokio::sync::Notify;

use super::notification::Notification;

/// So many events wait for a receiver at most. A rollout of 32 steps has about as many.
pub const MOST_QUEUED: usize = 64;

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
pub(super) struct Queue {
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Letter>,
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
pub(super) struct Letter {
    pub(super) notice: Arc<Notice>,
    pub(super) notification: Notification,
}

impl Queue {
    /// Puts a letter last. It is whether none was dropped for it.
    pub(super) fn push(&self, letter: Letter) -> bool {
        let mut inner = self.lock();
        if inner.is_closed {
            inner.dropped += 1;
            return false;
        }
        inner.waiting.push_back(letter);
        let is_overfull = inner.waiting.len() > MOST_QUEUED;
        if is_overfull {
            inner.waiting.pop_front();
            inner.dropped += 1;
            inner.lost += 1;
        }
        drop(inner);
        self.wake.notify_one();
        !is_overfull
    }

    /// Takes the first letter once there is one, and how many events were lost since the one that was
    /// delivered last; nothing if the queue is closed and empty. One task may call it.
    pub(super) async fn next(&self) -> Option<(Letter, u64)> {
        loop {
            {
                let mut inner = self.lock();
                if let Some(letter) = inner.waiting.pop_front() {
                    inner.is_sending = true;
                    return Some((letter, inner.lost));
                }
                if inner.is_closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// The letter that was taken last is delivered, after so many were reported lost, or is not.
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
        let Inner { delivered, failed, dropped, .. } = *inner;
        Deliveries { delivered, failed, dropped, waiting }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
