use std::{fmt, sync::Arc};

use tokio::sync::watch;

use crate::handle::RolloutHandle;

/// The rollouts of a [`Controller`](crate::Controller), including those that are added later.
///
/// A page or an API holds this instead of the controller, which [`stop`](crate::Controller::stop)
/// consumes. It is cheap to clone, and does not keep the controller running: the rollouts stay listed
/// after the controller has stopped, and [`RolloutHandle::is_running`] returns `false` then.
///
/// ```
/// use canary_controller::{Controller, Managed, store::MemoryStore};
/// # use tower_canary::{CanaryLayer, CanaryOptions};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let options = CanaryOptions::new().stable_release("v1.9.2").canary_release("v2.0.0");
/// # let layer = CanaryLayer::with_options("shop", (), options);
/// let controller = Controller::new(MemoryStore::new());
/// controller.add(Managed::by_hand(layer.handle()))?;
/// let rollouts = controller.rollouts();
/// assert!(rollouts.get("shop").is_some());
///
/// // A task can follow all rollouts until the controller stops.
/// controller.stop().await;
/// let mut list = rollouts.watch();
/// while list.changed().await.is_ok() {
///     for rollout in list.borrow_and_update().iter() {
///         assert_eq!(rollout.name().as_str(), "shop");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Rollouts(watch::Receiver<Arc<[RolloutHandle]>>);

impl Rollouts {
    pub(crate) const fn new(rollouts: watch::Receiver<Arc<[RolloutHandle]>>) -> Self {
        Self(rollouts)
    }

    /// Returns all rollouts, sorted by the names of their canaries.
    #[must_use]
    pub fn all(&self) -> Arc<[RolloutHandle]> {
        Arc::clone(&self.0.borrow())
    }

    /// Returns the rollout of the canary with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<RolloutHandle> {
        self.0.borrow().iter().find(|rollout| rollout.name().as_str() == name).cloned()
    }

    /// Returns a receiver of all rollouts, which is updated when one is added. Its sender is gone once
    /// the controller has stopped.
    ///
    /// The current rollouts count as a change that the receiver has not seen.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<[RolloutHandle]>> {
        let mut rollouts = self.0.clone();
        rollouts.mark_changed();
        rollouts
    }
}

impl fmt::Debug for Rollouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().iter()).finish()
    }
}
