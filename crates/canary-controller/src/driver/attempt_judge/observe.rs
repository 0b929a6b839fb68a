//! Passes counts on to the judge, and leaves out the time without calls for a while.

use canary_rollout::{fleet::FleetCounts, replica::ReplicaId};
use tokio::time::Instant;
use tower_canary::CanaryHandle;

use super::AttemptJudge;
use crate::driver::watched_keys::BoardKeys;

impl AttemptJudge {
    /// Gives the judge the calls of this process since the last time, while no rollout is in progress.
    pub(crate) fn learn(&mut self, me: &ReplicaId, canary: &CanaryHandle) {
        if let Ok(difference) = self.own.leave_out(canary) {
            let mut learned = FleetCounts::default();
            learned.add(&difference, &self.used);
            self.observe(&learned, self.judge.step(), me, &[]);
        }
    }

    pub(super) fn observe(
        &mut self,
        counts: &FleetCounts,
        step: usize,
        me: &ReplicaId,
        others: &[(ReplicaId, BoardKeys)],
    ) {
        if *counts == FleetCounts::default() && self.is_quiet() {
            return self.note_quiet();
        }
        self.has_discarded = false;
        let now = Instant::now();
        // The time without calls is a look of its own, so that it does not change a rate. The judge only
        // adds its time to that of the calls before, so that one long look is the same as many.
        if let Some(quiet_at) = self.quiet_at.take() {
            let duration = quiet_at - std::mem::replace(&mut self.looked_at, quiet_at);
            let quiet = FleetCounts::default().to_observation();
            self.judge.change().observe(&quiet.in_step(step).with_duration(duration));
        }
        let duration = now - std::mem::replace(&mut self.looked_at, now);
        let mut observation = counts.to_observation().in_step(step).with_duration(duration);
        // The judge reports events that no monitor watches.
        for event in self.own.last_read().ratings.events().keys() {
            observation = observation.with_event(event.as_str(), None);
        }
        if let Some(keys) = &mut self.keys {
            observation = keys.observe(&self.judge, observation, step, me, others);
        }
        self.judge.change().observe(&observation);
        self.follow_by_guard(self.own.last_read());
    }

    /// Returns whether the judge can observe time without calls later.
    pub(crate) fn is_quiet(&self) -> bool {
        let is_warming_up =
            || self.judgment().findings.iter().any(|finding| finding.warm_up_left.is_some());
        // Keys that wait for an answer become adverse after some time.
        self.keys.is_none() && self.incomplete_since.is_none() && !is_warming_up()
    }

    /// Notes that there were no calls until now.
    pub(crate) fn note_quiet(&mut self) {
        self.quiet_at = Some(Instant::now());
    }
}
