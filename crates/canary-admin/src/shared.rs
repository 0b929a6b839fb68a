use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicU64},
};

use canary_api::Environment;
use tokio::sync::watch;
use tower_canary_mirror::MirrorHandle;

use crate::{
    access::{Access, Throttle},
    audit::Outsiders,
    canary::Canary,
    streams::Streams,
};

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) access: Access,
    pub(crate) throttle: Throttle,
    /// The host names that the server answers to, beside those of this machine.
    pub(crate) hosts: Vec<String>,
    pub(crate) environment: Option<Environment>,
    /// The mirrors, by the names of their canaries.
    pub(crate) mirrors: BTreeMap<String, MirrorHandle>,
    pub(crate) canaries: Canaries,
    /// The number of controllers so far.
    pub(crate) next_source: AtomicU64,
    pub(crate) streams: Streams,
    pub(crate) outsiders: Outsiders,
    /// The places of streams that need no operator.
    #[cfg(feature = "grpc")]
    pub(crate) public_streams: Arc<tokio::sync::Semaphore>,
    /// Whether the streams have to end. Its receivers also learn that the server is gone.
    pub(crate) stop: watch::Sender<bool>,
}

/// The canaries that the API shows, by name.
#[derive(Default)]
pub(crate) struct Canaries(RwLock<BTreeMap<String, Arc<Canary>>>);

impl Canaries {
    pub(crate) fn all(&self) -> Vec<Arc<Canary>> {
        self.read().values().cloned().collect()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Canary>> {
        self.read().get(name).cloned()
    }

    /// Adds a canary, unless a running one has its name.
    pub(crate) fn add(&self, canary: Arc<Canary>) -> bool {
        let mut canaries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = canary.name().to_owned();
        if canaries.get(&name).is_some_and(|known| known.rollout().is_running()) {
            return false;
        }
        canaries.insert(name, canary);
        true
    }

    /// Removes this canary, but not another one that has its name by now.
    pub(crate) fn remove(&self, canary: &Arc<Canary>) {
        let mut canaries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if canaries.get(canary.name()).is_some_and(|known| Arc::ptr_eq(known, canary)) {
            canaries.remove(canary.name());
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Canary>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
