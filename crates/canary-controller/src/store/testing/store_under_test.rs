use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};

use crate::store::{DocumentWatch, StateStore, StoreKey, WatchEvent};

/// The future returned by the hooks of a [`StoreUnderTest`].
pub type HookFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store to be checked by the conformance suite. Hooks panic if they fail.
pub trait StoreUnderTest: fmt::Debug + Send + Sync {
    /// Opens a new handle of the store, as another process would. All handles share the data.
    fn open(&self) -> HookFuture<'_, Arc<dyn StateStore>>;

    /// Makes the store unreachable for all open handles, without losing data.
    fn disconnect(&self) -> HookFuture<'_, Injection> {
        Box::pin(async { Injection::Unsupported })
    }

    /// Reverts [`disconnect`](Self::disconnect).
    fn reconnect(&self) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Replaces the stored document of a key with bytes that are not a document. An engine that cannot
    /// store these bytes returns `Unsupported`.
    fn corrupt<'a>(&'a self, _key: &'a StoreKey, _bytes: &'a [u8]) -> HookFuture<'a, Injection> {
        Box::pin(async { Injection::Unsupported })
    }

    /// Reads the bytes that [`corrupt`](Self::corrupt) has stored.
    fn read_raw<'a>(&'a self, _key: &'a StoreKey) -> HookFuture<'a, Vec<u8>> {
        Box::pin(async { Vec::new() })
    }
}

/// The result of a hook that injects a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a check must be skipped if its fault cannot be injected"]
#[expect(clippy::exhaustive_enums, reason = "a fault is injected or not")]
pub enum Injection {
    /// The fault was injected.
    Done,
    /// This store has no such fault. The check is skipped and prints a note.
    Unsupported,
}

impl Injection {
    /// Returns whether the fault was injected. Prints a note if not.
    pub(super) fn is_done(self, check: &str) -> bool {
        if self == Self::Unsupported {
            println!("{check}: skipped, because this fault cannot be injected");
        }
        self == Self::Done
    }
}

/// Returns a key for one check.
///
/// # Panics
///
/// Panics if the name is not a valid [`CanaryName`](canary_core::CanaryName).
#[must_use]
pub fn key(name: &str) -> StoreKey {
    let name = name.parse().expect("the name is valid");
    StoreKey::try_new("store-testing", &name).expect("the prefix is valid")
}

/// Returns the next event of a watch. Panics after [`TIMEOUT`].
pub(super) async fn next(watch: &mut DocumentWatch) -> WatchEvent {
    timeout(TIMEOUT, watch.next()).await.expect("the watch should have returned an event")
}

/// Returns the results of all tasks. Panics after [`TIMEOUT`].
pub(super) async fn all<T: 'static>(tasks: JoinSet<T>) -> Vec<T> {
    timeout(TIMEOUT, tasks.join_all()).await.expect("the tasks should have ended")
}

/// Generous, because the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);
