use std::{
    fmt,
    future::poll_fn,
    hash::{BuildHasher, Hasher, RandomState},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use tokio::time::{sleep, timeout};

use super::{CALL_DEADLINE, Revision, StoreError, StoreFuture, Versioned};

/// What a [`DocumentWatch`] gives.
///
/// The first is `Value` or `Absent`, or within 2 s `Stale`. `Stale` is followed by `Fresh`, however
/// long that takes, and `Fresh` by `Value` or `Absent`, whether or not that changed meanwhile. A
/// `Value` or `Absent` that follows another differs from it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "another event would be another contract")]
pub enum WatchEvent {
    /// The document of the key. Those between it and the one before may have been left out.
    Value(Versioned),
    /// The key has no document.
    Absent,
    /// The store cannot be read: what was given last may not be the latest any more. Go on with it.
    Stale {
        /// The error, with its causes.
        why: String,
    },
    /// The store can be read again.
    Fresh,
}

/// The document of a key from now on: a stream that never ends.
///
/// It tells what *is*, not what happened: it loads, tells, waits for a change, and loads again. So
/// it catches up with one event after a break, a slow reader is not flooded, and there is no
/// position that a store could have forgotten.
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
    /// A watch that loads and waits through a source. This is all that a store needs to write.
    ///
    /// A source that fails is asked again after 50 ms, then after twice as long each time up to 1
    /// s, half of it by chance, lest a fleet comes back as one. Even if the source tells of no
    /// change, it is loaded every 30 s: connections have been seen that were dead without saying
    /// so.
    #[must_use]
    pub fn new(source: impl WatchSource) -> Self {
        let next = Box::pin(Relist { source, state: WatchState::Initial }.next());
        Self { stream: Box::pin(Steps { next }) }
    }

    /// Waits for the next event.
    ///
    /// The future can be dropped and made again at any time; no event is lost.
    #[expect(clippy::missing_panics_doc, reason = "the stream in it has no end")]
    pub async fn next(&mut self) -> WatchEvent {
        poll_fn(|cx| self.stream.as_mut().poll_next(cx)).await.expect("a watch never ends")
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

/// How a [`DocumentWatch`] of one key reads its store.
pub trait WatchSource: Send + 'static {
    /// Reads the document, like [`StateStore::load`](super::StateStore::load), after making anew
    /// whatever connection has failed.
    ///
    /// The future is dropped if it takes longer than [`CALL_DEADLINE`].
    fn load(&mut self) -> StoreFuture<'_, Option<Versioned>>;

    /// Waits until what the last [`load`](Self::load) returned may be outdated; too early does no
    /// harm. A change between that load and this call counts.
    ///
    /// The future is dropped after 30 s at most, and a load follows.
    fn changed(&mut self) -> StoreFuture<'_, ()>;
}

struct Relist<S> {
    source: S,
    state: WatchState,
}

enum WatchState {
    Initial,
    /// This was told last.
    Reported(Option<Revision>),
    /// It is known to be stale, after this many failed attempts.
    Stale(u32),
    /// It is known to be fresh, and this is to be told.
    Recovered(Option<Versioned>),
}

impl<S: WatchSource> Relist<S> {
    async fn next(mut self) -> (Self, WatchEvent) {
        loop {
            match mem::replace(&mut self.state, WatchState::Initial) {
                WatchState::Initial => {}
                WatchState::Recovered(state) => return self.tell(state),
                WatchState::Stale(attempts) => {
                    self.state = WatchState::Stale(attempts);
                    sleep(backoff(attempts)).await;
                }
                WatchState::Reported(revision) => {
                    self.state = WatchState::Reported(revision);
                    if let Ok(Err(error)) = timeout(RELOAD, self.source.changed()).await {
                        return self.lose(&error);
                    }
                }
            }
            let loaded = timeout(CALL_DEADLINE, self.source.load())
                .await
                .unwrap_or_else(|late| Err(StoreError::unavailable("load for a watch", late)));
            match (loaded, &mut self.state) {
                (Ok(state), WatchState::Stale(_)) => {
                    self.state = WatchState::Recovered(state);
                    return (self, WatchEvent::Fresh);
                }
                (Ok(state), WatchState::Reported(told))
                    if state.as_ref().map(|state| &state.revision) == told.as_ref() => {}
                (Ok(state), _) => return self.tell(state),
                (Err(_), WatchState::Stale(attempts)) => *attempts = attempts.saturating_add(1),
                (Err(error), _) => return self.lose(&error),
            }
        }
    }

    fn tell(mut self, state: Option<Versioned>) -> (Self, WatchEvent) {
        self.state = WatchState::Reported(state.as_ref().map(|state| state.revision.clone()));
        (self, state.map_or(WatchEvent::Absent, WatchEvent::Value))
    }

    fn lose(mut self, error: &StoreError) -> (Self, WatchEvent) {
        self.state = WatchState::Stale(0);
        (self, WatchEvent::Stale { why: error.in_full() })
    }
}

/// The wait after so many failed attempts.
fn backoff(attempts: u32) -> Duration {
    let longest = FIRST_BACKOFF.saturating_mul(1 << attempts.min(10)).min(LONGEST_BACKOFF);
    // A hasher that std seeds at random, so that jitter needs no other crate.
    let chance = RandomState::new().build_hasher().finish() % 1024;
    let chance = u32::try_from(chance).expect("a remainder of 1024 fits");
    longest / 2 + longest / 2048 * chance
}

/// Makes a stream of futures that return themselves, so that a reader may come and go at any await.
struct Steps<S> {
    next: Pin<Box<dyn Future<Output = (Relist<S>, WatchEvent)> + Send>>,
}

impl<S: WatchSource> Stream for Steps<S> {
    type Item = WatchEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WatchEvent>> {
        let (relist, event) = ready!(self.next.as_mut().poll(cx));
        self.next = Box::pin(relist.next());
        Poll::Ready(Some(event))
    }
}

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
const RELOAD: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
