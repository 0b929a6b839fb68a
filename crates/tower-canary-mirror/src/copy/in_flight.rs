use std::sync::Arc;

use crate::{
    findings::counts::{DropReason, MirrorOutcome},
    mirror::Mirror,
};

/// A mirrored request in flight. It counts its outcome exactly once, at the latest on drop.
pub(crate) struct InFlight {
    mirror: Arc<Mirror>,
    /// The reason to count if it is dropped now.
    drop_reason: DropReason,
    has_ended: bool,
}

impl InFlight {
    pub(crate) fn new(mirror: Arc<Mirror>) -> Self {
        mirror.counters.begin();
        Self { mirror, drop_reason: DropReason::CallerLeft, has_ended: false }
    }

    pub(crate) const fn mirror(&self) -> &Arc<Mirror> {
        &self.mirror
    }

    pub(crate) fn set_drop_reason(&mut self, reason: DropReason) {
        self.drop_reason = reason;
    }

    pub(crate) fn end(mut self, outcome: MirrorOutcome) {
        self.has_ended = true;
        self.mirror.counters.end(outcome);
    }

    pub(crate) fn drop_as(self, reason: DropReason) {
        self.end(MirrorOutcome::Dropped(reason));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.has_ended {
            self.mirror.counters.end(MirrorOutcome::Dropped(self.drop_reason));
        }
    }
}
