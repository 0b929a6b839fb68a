use std::io;

use super::Rollout;
use crate::text::EVIDENCE_BYTES;

/// The bytes by which a rollout can grow until its next measurement. Not a part of its value, and zero
/// for one that was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room(usize);

/// All rooms are equal, so that equal rollouts are.
impl PartialEq for Room {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Rollout {
    /// Drops old events until the document fits into [`Self::MAX_BYTES`], after a change with or without
    /// events. Most changes only count time and calls, and to measure them would take longer than the
    /// rest of a tick.
    pub(super) fn drop_events_to_fit(&mut self, has_events: bool) {
        if self.room.0 < GROWTH || has_events || self.has_probes_or_gates() {
            self.measure();
        } else {
            debug_assert!(self.len() <= Self::MAX_BYTES, "the rollout has outgrown its room");
        }
    }

    fn measure(&mut self) {
        let mut len = self.len();
        while len > Self::MAX_BYTES && self.history.events.pop_front().is_some() {
            len = self.len();
        }
        self.room = Room(Self::MAX_BYTES.saturating_sub(len));
    }

    /// Returns the length of the document.
    fn len(&self) -> usize {
        let mut len = Len(0);
        serde_json::to_writer(&mut len, self).map_or(0, |()| len.0)
    }

    /// Returns whether the stage has messages of probes and gates, which change without an event.
    fn has_probes_or_gates(&self) -> bool {
        let progress = self.state.progress();
        progress.is_some_and(|it| !(it.probes.is_empty() && it.gates.is_empty()))
    }
}

/// Counts the bytes that are written.
struct Len(usize);

impl io::Write for Len {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// More than what grows between two events: the evidence, in which quotation marks are escaped, and about
/// 30 numbers.
const GROWTH: usize = 2 * EVIDENCE_BYTES + 1024;
