use std::sync::Arc;

use crate::{
    counts::{DropReason, Ending},
    state::Mirror,
};

/// One copied call, from its choice to its end: it counts itself, exactly once, whatever happens.
pub(crate) struct Ticket {
    mirror: Arc<Mirror>,
    /// What it counts as if it is dropped here and now.
    if_dropped: DropReason,
    ended: bool,
}

impl Ticket {
    pub(crate) fn new(mirror: Arc<Mirror>) -> Self {
        mirror.counters.begin();
        Self { mirror, if_dropped: DropReason::CallerLeft, ended: false }
    }

    pub(crate) const fn mirror(&self) -> &Arc<Mirror> {
        &self.mirror
    }

    pub(crate) fn set_if_dropped(&mut self, reason: DropReason) {
        self.if_dropped = reason;
    }

    pub(crate) fn end(mut self, ending: Ending) {
        self.ended = true;
        self.mirror.counters.end(ending);
    }

    pub(crate) fn drop_as(self, reason: DropReason) {
        self.end(Ending::Dropped(reason));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.ended {
            self.mirror.counters.end(Ending::Dropped(self.if_dropped));
        }
    }
}
