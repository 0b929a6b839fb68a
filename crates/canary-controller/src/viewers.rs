use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Keeps the status of a rollout current until it is dropped; see
/// [`RolloutHandle::keep_current`](crate::RolloutHandle::keep_current).
#[derive(Debug)]
#[must_use = "the status is kept current until this is dropped"]
pub struct Viewer(Arc<AtomicUsize>);

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts the viewers of a status. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Viewers(Arc<AtomicUsize>);

impl Viewers {
    pub(crate) fn add(&self) -> Viewer {
        self.0.fetch_add(1, Ordering::Relaxed);
        Viewer(Arc::clone(&self.0))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}
