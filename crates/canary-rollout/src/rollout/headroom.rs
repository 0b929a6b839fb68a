use std::io;

use super::Rollout;
use crate::text::EVIDENCE_BYTES;

/// The bytes by which a rollout can grow until its next measurement. Not a part of its value, and zero
/// for one that was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Headroom(usize);

/// All are equal, so that equal rollouts are.
impl PartialEq for Headroom {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Rollout {
    /// Drops old events until the document fits into [`Self::MAX_BYTES`], after a change with or without
    /// events. Most changes only count time and calls, and to measure them would take longer than the
    /// rest of a tick.
    pub(super) fn drop_events_to_fit(&mut self, has_events: bool) {
        if self.headroom.0 < GROWTH || has_events || self.has_probes_or_gates() {
            self.measure();
        } else {
            debug_assert!(self.len() <= Self::MAX_BYTES, "the rollout has outgrown its headroom");
        }
    }

    fn measure(&mut self) {
        let mut len = self.len();
        while Self::MAX_BYTES < len + self.wanted_headroom()
            && self.history.events.pop_front().is_some()
        {
            len = self.len();
        }
        self.headroom = Headroom(Self::MAX_BYTES.saturating_sub(len));
    }

    /// Returns the headroom for which events are dropped.
    fn wanted_headroom(&self) -> usize {
        if self.history.events.len() > MIN_EVENTS { GROWTH } else { 0 }
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

/// An upper bound of the growth between two measurements: the evidence, whose length escapes can double,
/// and about 30 numbers.
const GROWTH: usize = 2 * EVIDENCE_BYTES + 1024;

/// Only events beyond this number are dropped for the headroom.
const MIN_EVENTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actor, Command, Order, Plan, Releases};

    #[test]
    fn a_full_history_leaves_headroom_for_the_changes_until_the_next_event() {
        let releases = Releases { stable: "v1".parse().unwrap(), canary: "v2".parse().unwrap() };
        let plan = Plan::from_toml("steps = [{ weight = '1%' }]").unwrap();
        let mut rollout = Rollout::new("checkout".parse().unwrap(), releases, plan);
        for number in 0..200 {
            let command = [Command::Halt, Command::LiftHalt][number % 2].clone();
            let order = Order::new(command, Actor::person("anna"), "x".repeat(200));
            rollout.command("2026-11-24T09:00:00Z".parse().unwrap(), &order).unwrap();
            assert!(rollout.headroom.0 >= GROWTH, "{number}: {}", rollout.headroom.0);
        }
        let numbers: Vec<_> = rollout.history().map(|event| event.number).collect();
        assert!(numbers.len() > MIN_EVENTS && numbers[0] > 1, "{numbers:?}");
    }
}
