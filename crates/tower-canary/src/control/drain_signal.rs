use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering, fence},
    },
    task::{Context, Poll},
};

use event_listener::{Event, EventListener};

/// Notifies the open calls of one epoch and channel that they are draining or closed.
///
/// The state is shared by all shards of the epoch. The listeners are per shard, so that two threads
/// that open streams do not contend for one lock.
pub(crate) struct DrainSignal {
    state: Arc<DrainState>,
    /// Notified when the state changes.
    changed: Event,
}

/// Whether the calls of an epoch and channel are open, draining or closed.
#[derive(Default)]
pub(crate) struct DrainState {
    /// Zero, [`DRAINING`] or [`CLOSED`]. It only grows.
    level: AtomicU8,
    /// Notified when a call ends while the state is draining or closed.
    ended: Event,
}

impl DrainState {
    pub(crate) fn ended(&self) -> EventListener {
        self.ended.listen()
    }

    fn has_reached(&self, level: u8) -> bool {
        self.level.load(Ordering::SeqCst) >= level
    }

    fn raise_to(&self, level: u8) {
        self.level.fetch_max(level, Ordering::SeqCst);
        // Pairs with the fence in `DrainSignal::listen`: either the listening thread sees the new
        // level, or the notification that follows reaches its listener.
        fence(Ordering::SeqCst);
    }

    pub(crate) fn drain(&self) {
        self.raise_to(DRAINING);
    }

    pub(crate) fn close(&self) {
        self.raise_to(CLOSED);
    }
}

impl DrainSignal {
    pub(crate) fn new(state: Arc<DrainState>) -> Self {
        Self { state, changed: Event::new() }
    }

    pub(crate) fn notify(&self) {
        self.changed.notify(usize::MAX);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.state.has_reached(DRAINING)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.has_reached(CLOSED)
    }

    /// Wakes the tasks that wait for the calls to end.
    pub(crate) fn call_ended(&self) {
        if self.is_draining() {
            self.state.ended.notify(usize::MAX);
        }
    }

    pub(crate) fn poll_draining(
        &self,
        waiting: &mut DrainListener,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.poll_state(DRAINING, waiting, cx)
    }

    pub(crate) fn poll_closed(
        &self,
        waiting: &mut DrainListener,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.poll_state(CLOSED, waiting, cx)
    }

    fn poll_state(&self, level: u8, waiting: &mut DrainListener, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.state.has_reached(level) {
                *waiting = DrainListener::default();
                return Poll::Ready(());
            }
            let Some(listener) = &mut waiting.0 else {
                waiting.0 = Some(self.listen());
                continue;
            };
            if Pin::new(listener).poll(cx).is_pending() {
                return Poll::Pending;
            }
            // A listener can be used only once.
            *waiting = DrainListener::default();
        }
    }

    fn listen(&self) -> EventListener {
        let listener = self.changed.listen();
        fence(Ordering::SeqCst);
        listener
    }
}

/// The registration of a call with its [`DrainSignal`]. Empty until the call has to wait.
#[derive(Debug, Default)]
pub(crate) struct DrainListener(Option<EventListener>);

impl DrainListener {
    pub(crate) const fn new() -> Self {
        Self(None)
    }
}

const DRAINING: u8 = 1;
const CLOSED: u8 = 2;
