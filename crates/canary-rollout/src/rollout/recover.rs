use super::{Rollout, change::Change};
use crate::{
    action::{Action, Transition},
    actor::Actor,
    event::EventKind,
    state::{PauseReason, RollbackReason, StoreLoss, phase::State},
    timestamp::Timestamp,
    variables::VariablePatches,
};

impl Rollout {
    /// Returns what the store has lost, or `None` if `stored` continues this rollout. This rollout is
    /// the one that was last loaded or saved, and `stored` is the one that the store has now.
    ///
    /// If something is lost, call [`recover`](Self::recover).
    #[must_use]
    pub fn loss(&self, stored: Option<&Self>) -> Option<StoreLoss> {
        match stored {
            None => Some(StoreLoss::Removed),
            Some(stored) if stored.lineage != self.lineage => Some(StoreLoss::Replaced),
            Some(stored) if !stored.continues(self) => Some(StoreLoss::Older),
            Some(_) => None,
        }
    }

    /// Returns whether this rollout has developed from `before`.
    ///
    /// The generation alone does not tell, because another replica may have saved an older rollout
    /// many times. The history does, as far as it reaches.
    fn continues(&self, before: &Self) -> bool {
        if self.generation < before.generation {
            return false;
        }
        let Some(latest) = before.history().next_back() else { return true };
        let oldest = self.history().next();
        let is_forgotten = oldest.is_some_and(|oldest| oldest.number > latest.number);
        is_forgotten || self.contains(latest)
    }

    /// Makes a rollout from the store safe to continue after the store has lost a newer one, `ours`,
    /// which this process has in force. If the document was removed, call this on a copy of `ours`
    /// with a new [lineage](Self::with_lineage).
    ///
    /// The weight does not rise above that of `ours`. A plan in progress is paused; a rollback and a
    /// halt of `ours` stay in force, and so do its variables. Attempts and event numbers of `ours`
    /// are not used again. Nothing changes if the rollout is safe already, because another replica
    /// has called this before, or if it is for other releases.
    ///
    /// Afterwards, apply [`in_force`](Self::in_force).
    ///
    /// ```
    /// use canary_rollout::{
    ///     Actor, Command, Lineage, Order, Releases, Rollout, Timestamp, plan::Preset,
    ///     state::StoreLoss,
    /// };
    ///
    /// let now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
    /// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
    /// let rollout = Rollout::new("shop".parse()?, releases, Preset::all()[0].plan());
    /// let mut ours = rollout.with_lineage(Lineage::from_random(1));
    /// ours.command(now, &Order::new(Command::Start, Actor::person("anna"), ""))?;
    ///
    /// // The store has been wiped.
    /// assert_eq!(ours.loss(None), Some(StoreLoss::Removed));
    /// let mut recovered = ours.clone().with_lineage(Lineage::from_random(2));
    /// recovered.recover(now, StoreLoss::Removed, &ours);
    /// assert_eq!(
    ///     recovered.pending(now).to_string(),
    ///     "paused at 10%: waiting for an operator (the store lost the rollout)",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recover(&mut self, now: Timestamp, loss: StoreLoss, ours: &Self) -> Transition {
        if self.releases != ours.releases {
            return Transition::default();
        }
        let before = self.clone();
        self.generation = self.generation.max(ours.generation);
        self.attempt = self.attempt.max(ours.attempt);
        self.history.count = self.history.count.max(ours.history.count);
        // Another process may have set variables since the store was wiped. Older ones are superseded.
        let theirs = match loss {
            StoreLoss::Replaced => self.variables.clone(),
            StoreLoss::Removed | StoreLoss::Older => VariablePatches::default(),
        };
        self.variables = ours.variables.patched(&theirs).unwrap_or_else(|_| ours.variables.clone());
        let mut change = Change::new(self, now);
        change.pause_after_loss(loss, &before, ours);
        let is_changed = *change.rollout != before;
        if is_changed {
            let found = match loss {
                StoreLoss::Removed => "the document was removed",
                StoreLoss::Replaced => "another process created a new document",
                StoreLoss::Older => "an older document is stored",
            };
            change.record(Actor::Store, EventKind::StoreLost, found);
        }
        change.finish()
    }
}

impl Change<'_> {
    fn pause_after_loss(&mut self, loss: StoreLoss, stored: &Rollout, ours: &Rollout) {
        let lost = || RollbackReason::StoreLost(loss);
        match (&stored.state, &ours.state) {
            (State::Halted { .. }, _) => {}
            (_, State::Halted { reason, .. }) => {
                self.take_back(Action::Halt(reason.clone()));
                self.enter(ours.state.clone());
            }
            (State::RolledBack { .. }, _) => {}
            (_, State::RolledBack { reason, .. } | State::RampingDown { reason, .. }) => {
                self.take_back_after_loss(reason.clone());
            }
            (State::Promoted { .. }, State::Promoted { .. }) => {}
            (State::Promoted { .. }, _) => self.take_back_after_loss(lost()),
            // An idle rollout can start without an operator.
            (State::Idle, _) if stored.attempt < ours.attempt => self.take_back_after_loss(lost()),
            (State::Idle, _) => {}
            _ => self.hold_after_loss(loss, ours),
        }
    }

    fn take_back_after_loss(&mut self, reason: RollbackReason) {
        self.take_back(Action::RollBack);
        self.enter(State::RolledBack { at: self.now, reason });
    }

    /// Holds a plan in progress at the weight of `ours`, if that is lower.
    fn hold_after_loss(&mut self, loss: StoreLoss, ours: &Rollout) {
        self.set_weight(self.rollout.weight.min(ours.weight));
        let state = &self.rollout.state;
        let (Some(stage), Some(progress)) = (state.stage(), state.progress().cloned()) else {
            return;
        };
        let (since, reason) = match (state, &ours.state) {
            (State::Paused { since, reason, .. }, _)
                if matches!(reason, PauseReason::Degraded(_) | PauseReason::StoreLost(_)) =>
            {
                (*since, reason.clone())
            }
            (_, State::Paused { reason: frozen @ PauseReason::Degraded(_), .. }) => {
                (self.now, frozen.clone())
            }
            _ => (self.now, PauseReason::StoreLost(loss)),
        };
        self.enter(State::Paused { stage, progress, since, reason });
    }
}
