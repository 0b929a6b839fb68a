use std::{
    any::Any,
    future::pending,
    num::NonZeroUsize,
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
    },
    task::{Context, Poll, ready},
};

use event_listener::{Event, EventListener};
use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinHandle},
};

use crate::config::concurrency_limit::ConcurrencyLimit;

/// A runtime, with the number of tasks that it has still to finish.
pub(crate) struct Host {
    handle: Handle,
    life: Arc<Life>,
    /// Lives as long as the runtime, or as long as we do.
    sentinel: AbortHandle,
}

struct Life {
    concurrency_limit: ConcurrencyLimit,
    /// Notified when there is a place, or the runtime is gone.
    changed: Event,
    is_gone: AtomicBool,
}

impl Host {
    pub(crate) fn new(handle: Handle, max_calls: NonZeroUsize) -> Self {
        let life = Arc::new(Life {
            concurrency_limit: ConcurrencyLimit::new(max_calls),
            changed: Event::new(),
            is_gone: AtomicBool::new(false),
        });
        // Dropped at once, if the runtime was shut down already.
        let witness = Witness(Arc::clone(&life));
        let sentinel = handle.spawn(async move {
            let _witness = witness;
            pending::<()>().await;
        });
        Self { sentinel: sentinel.abort_handle(), handle, life }
    }

    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for a place on the runtime.
    ///
    /// Panics if the runtime was shut down: the error of the service that it hosts is of any type, and
    /// may have no value.
    pub(crate) fn poll_place(
        &self,
        waiting: &mut Option<EventListener>,
        cx: &mut Context<'_>,
    ) -> Poll<Place> {
        loop {
            if self.life.is_gone.load(Ordering::Acquire) {
                *waiting = None;
                resume_unwind(Box::new(GONE));
            }
            if self.life.concurrency_limit.try_take() {
                *waiting = None;
                return Poll::Ready(Place(Arc::clone(&self.life)));
            }
            let Some(listener) = waiting else {
                *waiting = Some(self.life.changed.listen());
                // Pairs with the fence in `notify`: either we see the place, or it sees us.
                fence(Ordering::SeqCst);
                continue;
            };
            ready!(Pin::new(listener).poll(cx));
            *waiting = None;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.sentinel.abort();
    }
}

/// A task's place on the runtime, until the task is dropped.
pub(crate) struct Place(Arc<Life>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.concurrency_limit.give_back();
        self.0.changed.notify(1);
    }
}

/// Tells that the runtime is gone, since it drops what it runs when it is shut down.
struct Witness(Arc<Life>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.is_gone.store(true, Ordering::Release);
        self.0.changed.notify(usize::MAX);
    }
}

/// A task that is aborted when nobody waits for it any more.
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    pub(crate) const fn new(task: JoinHandle<()>) -> Self {
        Self(task)
    }

    /// Waits for the end of a task that did not finish its work, and goes down as it did.
    pub(crate) fn poll_failure<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let payload: Box<dyn Any + Send> = match ready!(Pin::new(&mut self.0).poll(cx)) {
            Err(error) if error.is_panic() => error.into_panic(),
            Ok(()) | Err(_) => Box::new(GONE),
        };
        resume_unwind(payload)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const GONE: &str = "the runtime was shut down";
