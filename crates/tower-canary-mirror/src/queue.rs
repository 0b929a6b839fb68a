use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use crate::panic::discard;
use crate::{counts::DropReason, runtime::BoxFuture, state::Mirror, ticket::Ticket};

/// Copies that wait for a worker, and how many workers there are.
///
/// A worker is a task that takes one copy after the other and ends when none is left, so that a mirror
/// that has nothing to do has no task. The lock is held for a push or a pop.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    capacity: usize,
    concurrency: usize,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    workers: usize,
}

/// A copy that is ready to be sent.
pub(crate) struct Job {
    pub(crate) ticket: Ticket,
    pub(crate) run: Box<dyn FnOnce(Ticket) -> BoxFuture + Send>,
}

impl Queue {
    pub(crate) fn new(capacity: usize, concurrency: usize) -> Self {
        Self { waiting: Mutex::default(), capacity, concurrency }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mirror {
    /// Sends a copy as soon as there is a worker for it, or drops it. Never waits for one. Panics if the
    /// runtime does.
    pub(crate) fn submit(self: &Arc<Self>, mut job: Job) {
        job.ticket.set_if_dropped(DropReason::Runtime);
        let mut waiting = self.queue.lock();
        if waiting.workers < self.queue.concurrency {
            waiting.workers += 1;
            drop(waiting);
            let worker = Worker { mirror: Arc::clone(self), ended: false };
            // A task that is not run is dropped, be it by a panic, and its copy counted.
            self.runtime.spawn(Box::pin(worker.work(job)));
        } else if waiting.jobs.len() < self.queue.capacity {
            waiting.jobs.push_back(job);
        } else {
            drop(waiting);
            job.ticket.drop_as(DropReason::QueueFull);
        }
    }
}

struct Worker {
    mirror: Arc<Mirror>,
    ended: bool,
}

impl Worker {
    async fn work(mut self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            (job.run)(job.ticket).await;
            // A canary that answers at once would else keep the thread from everybody else.
            yield_now().await;
            next = self.next();
        }
    }

    /// The next job. If there is none the worker has ended, under the same lock, so that no job can come
    /// in between.
    fn next(&mut self) -> Option<Job> {
        let mut waiting = self.mirror.queue.lock();
        let job = waiting.jobs.pop_front();
        if job.is_none() {
            waiting.workers -= 1;
            self.ended = true;
        }
        job
    }
}

impl Drop for Worker {
    /// A worker that is dropped at work: its runtime shut down, or never ran it.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut waiting = self.mirror.queue.lock();
        waiting.workers -= 1;
        // Without a worker nobody would take what waits.
        let left =
            if waiting.workers == 0 { mem::take(&mut waiting.jobs) } else { VecDeque::new() };
        drop(waiting);
        discard(|| drop(left));
    }
}

/// Lets the other tasks of the thread go first.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
