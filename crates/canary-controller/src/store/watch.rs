use std::{
    fmt, future, mem,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use futures_util::stream::{StreamExt, unfold};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{CALL_DEADLINE, Revision, StoreError, StoreFuture, Versioned};
use crate::error_chain;

/// An event of a [`DocumentWatch`].
///
/// The first event is `Value` or `Absent`, or, within 2 s, `Stale`. `Stale` is eventually followed
/// by `Fresh`, and `Fresh` by `Value` or `Absent`, even if the state did not change. A `Value` or
/// `Absent` that directly follows another one differs from it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "another event would be a breaking change")]
pub enum WatchEvent {
    /// The document of the key when the watch has read it. Intermediate documents may have been skipped.
    Value(Versioned),
    /// The key has no document.
    Absent,
    /// The store cannot be read, so the last `Value` or `Absent` may be outdated. Keep using it.
    Stale {
        /// The error and its sources.
        why: String,
    },
    /// The store can be read again.
    Fresh,
}

/// A stream of the current document of a key. It never ends.
///
/// A watch returns states, not changes: it loads, returns the state, waits for a change, and loads
/// again. After an interruption it therefore catches up with one event, a slow reader causes no
/// queue, and there is no position that a store could lose.
///
/// Once polled, a watch looks for its next event in a task, also while it is not polled. A store may
/// therefore hold a lock or a connection of a pool in a load: other calls do not wait for the reader of the
/// watch. The task ends with its event, or soon after the watch is dropped. An event waits until it is
/// read, and can be as old as the last poll.
///
/// The task belongs to the tokio runtime in which the watch is polled. Its timers must be enabled. If it shuts
/// down before the event, the watch has no further events, and waits in any other runtime.
///
/// ```
/// use canary_controller::store::{Document, MemoryStore, StateStore, StoreKey, WatchEvent};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let store = MemoryStore::new();
/// let key = StoreKey::try_new("prod", &"checkout".parse()?)?;
/// let mut watch = store.watch(&key);
/// assert_eq!(watch.next().await, WatchEvent::Absent);
///
/// let _ = store.compare_and_swap(&key, None, &Document::try_new("{}")?).await?;
/// assert!(matches!(watch.next().await, WatchEvent::Value(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DocumentWatch {
    stream: Pin<Box<dyn Stream<Item = WatchEvent> + Send>>,
}

impl DocumentWatch {
    /// Creates a watch that reads from `source`.
    ///
    /// If the source fails, the watch loads again after 50 ms. The delay doubles with each failure,
    /// up to 1 s; half of it is random, so that replicas do not retry at the same time. Even if the
    /// source reports no change, the watch loads every 30 s, because a dead connection may report
    /// no error.
    #[must_use]
    pub fn new(source: impl WatchSource) -> Self {
        let reader = DocumentReader { source, state: WatchState::Initial };
        Self { stream: Box::pin(unfold(reader, async |reader| Some(in_task(reader.next()).await))) }
    }

    /// Waits for the next event.
    ///
    /// Cancel safe: dropping the future loses no event.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime, and passes on a panic of the store.
    pub async fn next(&mut self) -> WatchEvent {
        self.stream.next().await.expect("a watch never ends")
    }
}

impl Stream for DocumentWatch {
    type Item = WatchEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        self.stream.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for DocumentWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentWatch").finish_non_exhaustive()
    }
}

/// The store access of a [`DocumentWatch`] for one key.
pub trait WatchSource: Send + 'static {
    /// Reads the document, like [`StateStore::load`](super::StateStore::load). Reconnects first if
    /// the connection has failed.
    ///
    /// The future is dropped if it takes longer than [`CALL_DEADLINE`].
    fn load(&mut self) -> StoreFuture<'_, Option<Versioned>>;

    /// Waits until the result of the last [`load`](Self::load) may be outdated. Must also return if
    /// the change happened between that load and this call. Returning too early is harmless.
    ///
    /// The future is dropped after at most 30 s; a load follows.
    fn changed(&mut self) -> StoreFuture<'_, ()>;
}

/// Runs a future in a task, which ends with the returned one.
async fn in_task<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let mut task = JoinSet::new();
    task.spawn(future);
    match task.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
        // The runtime shuts down.
        _ => future::pending().await,
    }
}

struct DocumentReader<S> {
    source: S,
    state: WatchState,
}

enum WatchState {
    Initial,
    /// The revision of the last `Value`, or `None` after `Absent`.
    Reported(Option<Revision>),
    /// The number of failed loads since `Stale` was returned.
    Stale(u32),
    /// The state to return after `Fresh`.
    Recovered(Option<Versioned>),
}

impl<S: WatchSource> DocumentReader<S> {
    async fn next(mut self) -> (WatchEvent, Self) {
        loop {
            match mem::replace(&mut self.state, WatchState::Initial) {
                WatchState::Initial => {}
                WatchState::Recovered(loaded) => return self.report(loaded),
                WatchState::Stale(failures) => {
                    self.state = WatchState::Stale(failures);
                    sleep(backoff(failures)).await;
                }
                WatchState::Reported(revision) => {
                    self.state = WatchState::Reported(revision);
                    if let Ok(Err(error)) = timeout(RELOAD_INTERVAL, self.source.changed()).await {
                        return self.fail(&error);
                    }
                }
            }
            let loaded = timeout(CALL_DEADLINE, self.source.load())
                .await
                .unwrap_or_else(|late| Err(StoreError::unavailable("load for a watch", late)));
            match (loaded, &mut self.state) {
                (Ok(loaded), WatchState::Stale(_)) => {
                    self.state = WatchState::Recovered(loaded);
                    return (WatchEvent::Fresh, self);
                }
                (Ok(loaded), WatchState::Reported(reported))
                    if loaded.as_ref().map(|it| &it.revision) == reported.as_ref() => {}
                (Ok(loaded), _) => return self.report(loaded),
                (Err(_), WatchState::Stale(failures)) => *failures = failures.saturating_add(1),
                (Err(error), _) => return self.fail(&error),
            }
        }
    }

    fn report(mut self, loaded: Option<Versioned>) -> (WatchEvent, Self) {
        self.state = WatchState::Reported(loaded.as_ref().map(|it| it.revision.clone()));
        (loaded.map_or(WatchEvent::Absent, WatchEvent::Value), self)
    }

    fn fail(mut self, error: &StoreError) -> (WatchEvent, Self) {
        self.state = WatchState::Stale(0);
        (WatchEvent::Stale { why: error_chain::with_causes(error) }, self)
    }
}

/// Returns the delay after this number of failures, with jitter.
fn backoff(failures: u32) -> Duration {
    let max = FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(MAX_BACKOFF);
    max.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
const RELOAD_INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
