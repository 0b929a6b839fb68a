use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering, fence},
    },
    task::{Context, Poll},
};

use event_listener::{Event, EventListener};

/// Tells the open calls of one epoch and channel that they should end, or must.
///
/// The stage is one for the epoch; listeners gather per shard, so that two threads that open streams do
/// not meet on one lock.
pub(crate) struct DrainSignal {
    stage: Arc<DrainState>,
    /// Notified when the stage changes.
    changed: Event,
}

/// How far the open calls of an epoch are on their way out, and who waits for the last one.
#[derive(Default)]
pub(crate) struct DrainState {
    value: AtomicU8,
    /// Notified when a call ends while the stage is past open.
    ended: Event,
}

impl DrainState {
    pub(crate) fn ended(&self) -> EventListener {
        self.ended.listen()
    }

    fn has_reached(&self, value: u8) -> bool {
        self.value.load(Ordering::SeqCst) >= value
    }

    fn raise_to(&self, value: u8) {
        self.value.fetch_max(value, Ordering::SeqCst);
        // Pairs with the fence in `DrainSignal::listen`: either that thread sees the stage, or we see it
        // among the listeners.
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
    pub(crate) fn new(stage: Arc<DrainState>) -> Self {
        Self { stage, changed: Event::new() }
    }

    pub(crate) fn notify(&self) {
        self.changed.notify(usize::MAX);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stage.has_reached(DRAINING)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.stage.has_reached(CLOSED)
    }

    /// Says that a call has ended, to whoever waits for the last one.
    pub(crate) fn call_ended(&self) {
        if self.is_draining() {
            self.stage.ended.notify(usize::MAX);
        }
    }

    pub(crate) fn poll_draining(
        &self,
        watch: &mut DrainListener,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        self.poll_state(DRAINING, watch, cx)
    }

    pub(crate) fn poll_closed(&self, watch: &mut DrainListener, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_state(CLOSED, watch, cx)
    }

    fn poll_state(&self, value: u8, watch: &mut DrainListener, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.stage.has_reached(value) {
                *watch = DrainListener::default();
                return Poll::Ready(());
            }
            let Some(listener) = &mut watch.0 else {
                watch.0 = Some(self.listen());
                continue;
            };
            if Pin::new(listener).poll(cx).is_pending() {
                return Poll::Pending;
            }
            // Notified; the listener is spent.
            *watch = DrainListener::default();
        }
    }

    fn listen(&self) -> EventListener {
        let listener = self.changed.listen();
        fence(Ordering::SeqCst);
        listener
    }
}

/// A waiting call's place among the listeners of its [`DrainSignal`]; empty until it has to wait.
#[derive(Debug, Default)]
pub(crate) struct DrainListener(Option<EventListener>);

impl DrainListener {
    pub(crate) const fn new() -> Self {
        Self(None)
    }
}

const DRAINING: u8 = 1;
const CLOSED: u8 = 2;
