use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

#[cfg(not(feature = "tokio"))]
use std::time::Instant;
#[cfg(feature = "tokio")]
use tokio::time::Instant;

use crate::{counting::clock::TickInstant, service::pending_answer::PendingAnswer};

/// The arrival of a request body, as the service sees it.
///
/// While the service waits for the next part of the body, the time is the caller's: it counts
/// neither as latency nor towards the time limit. The wait begins when the service polls the body
/// and finds nothing, and ends when the next part arrives, even if the service does not poll the
/// body again.
///
/// Nor does a call count as one without an answer during a wait. After the wait it counts as a young
/// call.
///
/// The body and its call share it.
pub(crate) struct Upload {
    /// Set, under the lock, by the first wait and by an error. Most bodies have neither, and then
    /// their calls need no lock to learn so.
    ///
    /// It orders no other memory: a call that reads it before it is set sees the same as one that
    /// locks before the event.
    has_event: AtomicBool,
    waits: Mutex<Waits>,
}

#[derive(Default)]
struct Waits {
    /// The total time of the waits that have ended.
    ended: Duration,
    /// The start of the current wait.
    since: Option<Instant>,
    /// Whether the last wait ended without a part of the body.
    is_given_up: bool,
    /// Whether the body ended with an error.
    is_broken_off: bool,
    /// The task that reads the body.
    reader: Option<Waker>,
    /// The task of the call, if its time limit is suspended.
    call: Option<Waker>,
    /// `None` if the call has its answer.
    answer: Option<PendingAnswer>,
}

impl Upload {
    /// Creates the state of a body whose call waits for its answer.
    #[cfg(any(feature = "axum", feature = "tonic"))]
    pub(crate) fn new(answer: PendingAnswer) -> Self {
        let waits = Waits { answer: Some(answer), ..Waits::default() };
        Self { has_event: AtomicBool::new(false), waits: Mutex::new(waits) }
    }

    /// Begins a wait, unless the reader waits already. It is woken when the wait ends.
    pub(crate) fn begin_wait(&self, reader: &Waker) {
        let mut waits = self.waits();
        self.has_event.store(true, Ordering::Relaxed);
        if waits.since.is_none() {
            waits.since = Some(Instant::now());
            if let Some(answer) = &waits.answer {
                answer.stop(TickInstant::now());
            }
        }
        match &mut waits.reader {
            Some(waker) => waker.clone_from(reader),
            None => waits.reader = Some(reader.clone()),
        }
    }

    /// Ends the current wait, because a part of the body has arrived.
    pub(crate) fn end_wait(&self) {
        self.end(false);
    }

    /// Ends the current wait, because the service does not wait any longer.
    pub(crate) fn give_up(&self) {
        self.end(true);
    }

    fn end(&self, is_given_up: bool) {
        let mut waits = self.waits();
        let Some(since) = waits.since.take() else { return };
        waits.ended += since.elapsed();
        waits.is_given_up = is_given_up;
        if let Some(answer) = &mut waits.answer {
            answer.restart(TickInstant::now());
        }
        let wakers = [waits.reader.take(), waits.call.take()];
        drop(waits);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Takes charge of a call that waits for its answer.
    pub(crate) fn expect_answer(&self, answer: PendingAnswer) {
        let mut waits = self.waits();
        if waits.since.is_some() {
            answer.stop(TickInstant::now());
        }
        waits.answer = Some(answer);
    }

    /// Records that the call got its answer at `now`, or ended without one.
    pub(crate) fn record_answer(&self, now: TickInstant) {
        let mut waits = self.waits();
        let is_waiting = waits.since.is_some();
        if let Some(answer) = waits.answer.take().filter(|_| !is_waiting) {
            answer.stop(now);
        }
    }

    /// Returns the total time that the service has waited for the caller.
    #[inline]
    pub(crate) fn waited(&self) -> Duration {
        let waited = self.read(|waits| {
            waits.ended + waits.since.map_or(Duration::ZERO, |since| since.elapsed())
        });
        waited.unwrap_or(Duration::ZERO)
    }

    /// Returns the total time of the waits, or `None` during a wait. Then it wakes `call` at the
    /// end of the wait.
    #[cfg(feature = "tokio")]
    pub(crate) fn ended_waits(&self, call: &Waker) -> Option<Duration> {
        let mut waits = self.waits();
        if waits.since.is_some() {
            waits.call = Some(call.clone());
            return None;
        }
        Some(waits.ended)
    }

    /// Records that the body ended with an error: the caller broke it off, or exceeded a limit.
    pub(crate) fn break_off(&self) {
        let mut waits = self.waits();
        self.has_event.store(true, Ordering::Relaxed);
        waits.is_broken_off = true;
    }

    #[inline]
    pub(crate) fn is_broken_off(&self) -> bool {
        self.read(|waits| waits.is_broken_off).unwrap_or(false)
    }

    /// Returns whether the service waits for the caller, or gave up waiting.
    pub(crate) fn is_missing(&self) -> bool {
        self.read(|waits| waits.since.is_some() || waits.is_given_up).unwrap_or(false)
    }

    /// Reads the state, unless the service has not waited and the body has not failed.
    #[inline]
    fn read<T>(&self, read: impl FnOnce(&Waits) -> T) -> Option<T> {
        self.has_event.load(Ordering::Relaxed).then(|| self.read_locked(read))
    }

    #[inline(never)]
    fn read_locked<T>(&self, read: impl FnOnce(&Waits) -> T) -> T {
        read(&self.waits())
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        // No code that can panic runs while the lock is held.
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of the original body: it wakes the reader, after the wait has ended.
impl Wake for Upload {
    fn wake(self: Arc<Self>) {
        self.end_wait();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.end_wait();
    }
}
