use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};

use crate::store::{DocumentWatch, StateStore, StoreKey, WatchEvent};

/// What a hook of a [`StoreUnderTest`] returns: a boxed future.
pub type HookFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store under test. Its hooks panic if they fail.
pub trait StoreUnderTest: fmt::Debug + Send + Sync {
    /// Opens the store. Each time anew, as another process would; all see the same data.
    fn open(&self) -> HookFuture<'_, Arc<dyn StateStore>>;

    /// Makes the store unreachable for what was opened, without a loss of data.
    fn disconnect(&self) -> HookFuture<'_, Injection> {
        Box::pin(async { Injection::Unsupported })
    }

    /// Undoes [`disconnect`](Self::disconnect).
    fn reconnect(&self) -> HookFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Stores bytes that are no document where the document of a key is stored.
    fn corrupt<'a>(&'a self, _key: &'a StoreKey, _bytes: &'a [u8]) -> HookFuture<'a, Injection> {
        Box::pin(async { Injection::Unsupported })
    }

    /// Reads back what [`corrupt`](Self::corrupt) stored.
    fn read_raw<'a>(&'a self, _key: &'a StoreKey) -> HookFuture<'a, Vec<u8>> {
        Box::pin(async { Vec::new() })
    }
}

/// How a hook ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a check whose hook is impossible has to be skipped"]
#[expect(clippy::exhaustive_enums, reason = "a hook does it or cannot")]
pub enum Injection {
    /// The harm is done.
    Done,
    /// No such harm can be done to this store: the check is skipped, and says so.
    Unsupported,
}

impl Injection {
    /// Whether the check can go on; if not, says that it is skipped.
    pub(super) fn is_done(self, check: &str) -> bool {
        if self == Self::Unsupported {
            println!("{check}: skipped, since nothing can do this to the store");
        }
        self == Self::Done
    }
}

/// A key for one check.
///
/// # Panics
///
/// If the name is no [`CanaryName`](canary_core::CanaryName).
#[must_use]
pub fn key(name: &str) -> StoreKey {
    let name = name.parse().expect("the name is a canary's");
    StoreKey::try_new("store-testing", &name).expect("the prefix is one")
}

/// The next event of a watch, which must come soon.
pub(super) async fn next(watch: &mut DocumentWatch) -> WatchEvent {
    timeout(PATIENCE, watch.next()).await.expect("the watch should have said something")
}

/// The results of tasks, which must end soon.
pub(super) async fn all<T: 'static>(tasks: JoinSet<T>) -> Vec<T> {
    timeout(PATIENCE, tasks.join_all()).await.expect("the tasks should have ended")
}

/// Far above the seconds that anything here may take, since a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
