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

/// A runtime with a limit on the tasks that it hosts.
pub(crate) struct RuntimeHost {
    handle: Handle,
    state: Arc<HostState>,
    /// The task that owns the [`ShutdownGuard`].
    sentinel: AbortHandle,
}

struct HostState {
    concurrency_limit: ConcurrencyLimit,
    /// Notified when a permit is returned, and when the runtime shuts down.
    changed: Event,
    is_shut_down: AtomicBool,
}

impl RuntimeHost {
    pub(crate) fn new(handle: Handle, max_calls: NonZeroUsize) -> Self {
        let state = Arc::new(HostState {
            concurrency_limit: ConcurrencyLimit::new(max_calls),
            changed: Event::new(),
            is_shut_down: AtomicBool::new(false),
        });
        // A runtime that is already shut down drops the task, and with it the guard, right away.
        let guard = ShutdownGuard(Arc::clone(&state));
        let sentinel = handle.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        Self { sentinel: sentinel.abort_handle(), handle, state }
    }

    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for a permit to spawn the task of a call.
    ///
    /// Panics if the runtime is shut down. The service has no error to return for this: its error
    /// type is arbitrary.
    pub(crate) fn poll_permit(
        &self,
        waiting: &mut Option<EventListener>,
        cx: &mut Context<'_>,
    ) -> Poll<CallPermit> {
        loop {
            if self.state.is_shut_down.load(Ordering::Acquire) {
                *waiting = None;
                resume_unwind(Box::new(SHUT_DOWN));
            }
            if self.state.concurrency_limit.try_acquire() {
                *waiting = None;
                return Poll::Ready(CallPermit(Arc::clone(&self.state)));
            }
            let Some(listener) = waiting else {
                *waiting = Some(self.state.changed.listen());
                // Pairs with the fence in `Event::notify`: either this thread sees the returned
                // permit, or the notifier sees this listener.
                fence(Ordering::SeqCst);
                continue;
            };
            ready!(Pin::new(listener).poll(cx));
            *waiting = None;
        }
    }
}

impl Drop for RuntimeHost {
    fn drop(&mut self) {
        self.sentinel.abort();
    }
}

/// Permits one task on the runtime. The permit is returned when it is dropped.
pub(crate) struct CallPermit(Arc<HostState>);

impl Drop for CallPermit {
    fn drop(&mut self) {
        self.0.concurrency_limit.release();
        self.0.changed.notify(1);
    }
}

/// Detects the shutdown of the runtime, which drops its tasks and with them this guard.
struct ShutdownGuard(Arc<HostState>);

impl Drop for ShutdownGuard {
    fn drop(&mut self) {
        self.0.is_shut_down.store(true, Ordering::Release);
        self.0.changed.notify(usize::MAX);
    }
}

/// A task that is aborted when this is dropped.
pub(crate) struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    pub(crate) const fn new(task: JoinHandle<()>) -> Self {
        Self(task)
    }

    /// Waits for a task that failed, and resumes its panic, or panics if the runtime was shut down.
    pub(crate) fn poll_failure<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let payload: Box<dyn Any + Send> = match ready!(Pin::new(&mut self.0).poll(cx)) {
            Err(error) if error.is_panic() => error.into_panic(),
            Ok(()) | Err(_) => Box::new(SHUT_DOWN),
        };
        resume_unwind(payload)
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const SHUT_DOWN: &str = "the runtime was shut down";
