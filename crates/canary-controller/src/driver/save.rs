//! Applies transitions: actions that lower the weight come before the save, the others after it.

use canary_core::Weight;
use canary_rollout::{Action, Phase, Rollout, Transition, event::Event};
use tokio::time::Instant;

use crate::{
    driver::{
        documents::{DocumentError, SaveResult, StoredRollout},
        run::{Driver, TARGET},
    },
    notify::{Notification, audit},
};

/// The result of applying a transition.
pub(super) enum ApplyResult {
    Applied,
    /// It is in force, but could not be stored.
    NotStoredYet(String),
    /// It could not be stored, and nothing has changed.
    NotSaved(String),
    /// The store did not report whether it is stored. Nothing changes until the result is known.
    Unknown(String),
    /// Another replica has stored another rollout, which is in force now.
    Superseded,
}

/// A transition whose save has an unknown result.
pub(super) struct UnconfirmedSave {
    pub(super) after: Rollout,
    pub(super) transition: Transition,
}

impl Driver {
    /// Puts `after` into force: executes the actions that lower the weight, saves, and executes the
    /// rest.
    pub(super) async fn apply(&mut self, after: Rollout, transition: &Transition) -> ApplyResult {
        let actions = &transition.actions;
        let Some(save) = actions.iter().position(|action| *action == Action::Save) else {
            self.rollout = after;
            self.perform(actions);
            return ApplyResult::Applied;
        };
        let (before_save, after_save) = (&actions[..save], &actions[save + 1..]);
        let is_lowered = !before_save.is_empty();
        // A rollout stored by another replica must not raise the weight that this transition
        // lowers.
        let hold = is_lowered.then(|| self.weight_lock.lower_and_hold(|| ()));
        self.perform(before_save);
        let saved = self.save(&after, transition.events.last(), is_lowered).await;
        if !matches!(saved, Ok(SaveResult::SavedAndReplaced(_) | SaveResult::Conflict(_))) {
            drop(hold);
        }
        match saved {
            Ok(SaveResult::Saved) => {
                let was_unconfirmed = self.unconfirmed.take().is_some();
                self.set_rollout(after);
                self.perform(after_save);
                if was_unconfirmed {
                    self.enforce_rollout();
                }
                self.publish_events(&transition.events);
                self.append_events().await;
                ApplyResult::Applied
            }
            Ok(SaveResult::SavedAndReplaced(theirs)) => {
                self.finish_replaced(after, transition);
                self.apply_stored(Some(theirs));
                ApplyResult::Applied
            }
            Ok(SaveResult::Conflict(theirs)) => {
                self.apply_stored(theirs);
                ApplyResult::Superseded
            }
            Err(error) if after_save.iter().any(needs_store) => {
                if error.is_unknown() {
                    let transition = transition.clone();
                    self.unconfirmed = Some(UnconfirmedSave { after, transition });
                    return ApplyResult::Unknown(error.to_string());
                }
                self.enforce_rollout();
                ApplyResult::NotSaved(error.to_string())
            }
            Err(error) => {
                self.mark_unsaved(&error);
                self.set_rollout(after);
                self.perform(after_save);
                self.publish_events(&transition.events);
                ApplyResult::NotStoredYet(error.to_string())
            }
        }
    }

    /// Executes the post-save actions of a transition that was stored and then replaced by another
    /// replica. Skips those that set the weight or variables: the newer rollout decides them.
    pub(super) fn finish_replaced(&mut self, after: Rollout, transition: &Transition) {
        let after_save = transition.actions.iter().skip_while(|it| **it != Action::Save).skip(1);
        let is_decided_by_theirs = |action: &Action| {
            matches!(
                action,
                Action::SetWeight(_) | Action::Promote | Action::LiftHalt | Action::SetVariables(_)
            )
        };
        let actions: Vec<_> = after_save.filter(|it| !is_decided_by_theirs(it)).cloned().collect();
        self.set_rollout(after);
        self.perform(&actions);
        self.publish_events(&transition.events);
    }

    /// Saves the evidence and then the rollout, because evidence may be newer than the rollout. If
    /// the transition lowers the weight, saves the rollout first.
    async fn save(
        &mut self,
        rollout: &Rollout,
        latest_event: Option<&Event>,
        is_lowered: bool,
    ) -> Result<SaveResult, DocumentError> {
        let evidence = if is_lowered { Ok(()) } else { self.save_evidence().await };
        let saved = match evidence {
            Ok(()) => self.documents.save(rollout, latest_event).await,
            Err(error) => Err(error),
        };
        if saved.is_ok() {
            self.failing_since = None;
        } else {
            self.failing_since.get_or_insert_with(Instant::now);
        }
        let saved = saved?;
        if matches!(saved, SaveResult::Saved) {
            self.unsaved_since = None;
            if is_lowered {
                // If this fails, the next save stores the evidence.
                let _ = self.save_evidence().await;
            }
        }
        Ok(saved)
    }

    /// Saves the evidence. Returns `Ok` even if it can never be stored: a restart then loses it, but
    /// the rollout can continue.
    async fn save_evidence(&mut self) -> Result<(), DocumentError> {
        match self.documents.save_evidence(&self.judge.to_stored()).await {
            Err(error) if error.is_permanent() => {
                let name = self.canary.name();
                tracing::warn!(target: TARGET, canary = %name, "the evidence is not stored: {error}");
                Ok(())
            }
            other => other,
        }
    }

    /// Saves the rollout and its events if an earlier save has failed.
    pub(super) async fn retry_save(&mut self) {
        if self.unsaved_since.is_some() {
            self.save_current().await;
        } else if self.load_error.is_none() && self.documents.lacks_events(&self.rollout) {
            self.append_events().await;
        }
    }

    /// Saves the rollout in force.
    pub(super) async fn save_current(&mut self) {
        if self.load_error.is_some() || !self.owns_releases() {
            return;
        }
        let is_lowered = self.rollout.weight() == Weight::ZERO;
        let latest_event = self.rollout.history().last().cloned();
        let mut saved = self.save(&self.rollout.clone(), latest_event.as_ref(), is_lowered).await;
        if let Ok(SaveResult::Conflict(Some(theirs))) = &saved
            && !theirs.is_older
            && self.unsaved_since.is_some()
            && self.descends_from(theirs)
        {
            // A response was lost, or another replica has saved the elapsed time. This replica knows
            // all events of the document, so it can replace it.
            saved = self.save(&self.rollout.clone(), latest_event.as_ref(), is_lowered).await;
        }
        match saved {
            Ok(SaveResult::Saved) => {
                if self.unconfirmed.take().is_some() {
                    self.enforce_rollout();
                }
                self.append_events().await;
            }
            Ok(SaveResult::Conflict(theirs)) => self.apply_stored(theirs),
            Ok(SaveResult::SavedAndReplaced(theirs)) => self.apply_stored(Some(theirs)),
            Err(error) => self.mark_unsaved(&error),
        }
    }

    /// Returns whether the history of the rollout in force contains the latest event of `theirs`.
    fn descends_from(&self, theirs: &StoredRollout) -> bool {
        theirs.rollout.releases() == self.rollout.releases()
            && (theirs.rollout.history().next_back())
                .is_none_or(|last| self.rollout.history().any(|event| event == last))
    }

    fn mark_unsaved(&mut self, error: &DocumentError) {
        self.unsaved_since.get_or_insert_with(Instant::now);
        let name = self.canary.name();
        tracing::warn!(target: TARGET, canary = %name, "the rollout is not stored: {error}");
    }

    /// Logs the events and sends them to subscribers.
    fn publish_events(&self, events: &[Event]) {
        for event in events {
            audit(&Notification::new(&self.rollout, event.clone()));
            // Fails without subscribers.
            let _ = self.events.send(event.clone());
        }
    }

    /// Appends the events of the stored rollout to the history in the store.
    async fn append_events(&mut self) {
        if let Err(error) = self.documents.append_events(&self.rollout).await {
            let name = self.canary.name();
            tracing::warn!(target: TARGET, canary = %name, "the events are not stored: {error}");
        }
    }

    /// Returns whether the rollout is for the releases of this process.
    pub(super) fn owns_releases(&self) -> bool {
        *self.rollout.releases() == self.settings.releases
    }

    /// Sets the data plane to the state of the rollout, or to weight zero if the rollout is for
    /// other releases. A halt applies to all releases.
    pub(super) fn enforce_rollout(&mut self) {
        self.set_salt(&self.rollout);
        if self.owns_releases() || self.rollout.phase() == Phase::Halted {
            self.perform(&self.rollout.in_force());
        } else {
            self.perform(&[Action::RollBack]);
        }
    }
}

const fn needs_store(action: &Action) -> bool {
    matches!(
        action,
        Action::SetWeight(_)
            | Action::Promote
            | Action::LiftHalt
            | Action::BeginEvidence { .. }
            | Action::SetVariables(_)
    )
}
