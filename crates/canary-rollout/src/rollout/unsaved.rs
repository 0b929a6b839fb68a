use super::{Rollout, change::Change};
use crate::{
    action::{Action, Transition},
    event::Event,
    timestamp::Timestamp,
};

impl Rollout {
    /// Returns the number of the latest event, or zero if there is none.
    pub(crate) const fn latest_number(&self) -> u64 {
        self.history.count
    }

    /// Returns whether this rollout contains every change of `other`: its history has the latest
    /// event of `other`.
    #[must_use]
    pub fn descends_from(&self, other: &Self) -> bool {
        self.releases == other.releases
            && other.history().next_back().is_none_or(|latest| self.contains(latest))
    }

    /// Continues the numbering of a stored rollout that this one replaces, so that others do not take
    /// it for an older one.
    pub(crate) fn raise_generation(&mut self, stored: &Self) {
        self.generation = self.generation.max(stored.generation);
    }

    /// Returns whether the history contains this event.
    #[must_use]
    pub fn contains(&self, event: &Event) -> bool {
        self.history().any(|known| known == event)
    }

    /// Adds events of another copy of the rollout, which was in force and could not be stored before
    /// a third copy was. They get new numbers, and keep their time, cause, phase and weight.
    pub fn record_unsaved(
        &mut self,
        now: Timestamp,
        events: impl IntoIterator<Item = Event>,
    ) -> Transition {
        let mut change = Change::new(self, now);
        for event in events {
            change.record_again(event);
        }
        let mut transition = change.finish();
        // The replica in which they were in force has sent the notifications.
        transition.actions.retain(|action| !matches!(action, Action::Notify { .. }));
        transition
    }
}
