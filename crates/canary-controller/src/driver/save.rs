//! Bringing into force what came of a tick or a command, and keeping it.

use canary_core::Weight;
use canary_rollout::{Action, Event, Phase, Rollout, Transition};
use tokio::time::Instant;
use tower_canary::control::ControlExt;

use crate::driver::{
    documents::{DocumentError, Found, Saved},
    run::{Driver, TARGET},
};
use crate::notify::{Notification, audit};

/// How an outcome was carried out.
pub(super) enum Carried {
    Done,
    /// It is in force, but could not be stored.
    Unsaved(String),
    /// It could not be stored, and nothing is changed.
    Undone(String),
    /// It is unknown whether it was stored. Nothing is changed until that is known.
    Unknown(String),
    /// Somebody else has stored another rollout, which is in force now.
    Overtaken,
}

/// What may be stored, or may be stored yet.
pub(super) struct Pending {
    pub(super) after: Rollout,
    pub(super) outcome: Transition,
}

impl Driver {
    /// Brings `after` into force: what lowers the weight at once, then the store, then the rest.
    pub(super) async fn carry_out(&mut self, after: Rollout, outcome: &Transition) -> Carried {
        let actions = &outcome.actions;
        let Some(save) = actions.iter().position(|action| *action == Action::Save) else {
            self.rollout = after;
            self.perform(actions);
            return Carried::Done;
        };
        let (before_save, after_save) = (&actions[..save], &actions[save + 1..]);
        // What others have stored must not raise what this lowers.
        let is_lowered = !before_save.is_empty();
        let taken_back = is_lowered.then(|| self.alarm.take_back(|| ()));
        self.perform(before_save);
        let saved = self.save(&after, outcome.events.last(), is_lowered).await;
        if !matches!(saved, Ok(Saved::Overtaken(_) | Saved::Conflict(_))) {
            drop(taken_back);
        }
        match saved {
            Ok(Saved::Done) => {
                let was_pending = self.pending.take().is_some();
                self.adopt(after);
                self.perform(after_save);
                if was_pending {
                    self.bring_into_force();
                }
                self.tell(&outcome.events);
                self.keep_events().await;
                Carried::Done
            }
            Ok(Saved::Overtaken(theirs)) => {
                self.complete(after, outcome);
                self.take_over(Some(theirs));
                Carried::Done
            }
            Ok(Saved::Conflict(theirs)) => {
                self.take_over(theirs);
                Carried::Overtaken
            }
            Err(error) if after_save.iter().any(raises) => {
                if error.is_unknown() {
                    self.pending = Some(Pending { after, outcome: outcome.clone() });
                    return Carried::Unknown(error.to_string());
                }
                self.bring_into_force();
                Carried::Undone(error.to_string())
            }
            Err(error) => {
                self.note_unsaved(&error);
                self.adopt(after);
                self.perform(after_save);
                self.tell(&outcome.events);
                Carried::Unsaved(error.to_string())
            }
        }
    }

    /// Does what follows from an outcome that was stored, but what raises the weight: others have
    /// stored more since, and that will say.
    pub(super) fn complete(&mut self, after: Rollout, outcome: &Transition) {
        let saved = outcome.actions.iter().skip_while(|action| **action != Action::Save).skip(1);
        let is_weight = |action: &Action| {
            matches!(action, Action::SetWeight(_) | Action::Promote | Action::LiftHalt)
        };
        let actions: Vec<_> = saved.filter(|action| !is_weight(action)).cloned().collect();
        self.adopt(after);
        self.perform(&actions);
        self.tell(&outcome.events);
    }

    /// Saves the evidence first: what it is ahead of the rollout does no harm. But what takes the
    /// canary back waits for nothing.
    async fn save(
        &mut self,
        rollout: &Rollout,
        event: Option<&Event>,
        is_lowered: bool,
    ) -> Result<Saved, DocumentError> {
        let evidence = if is_lowered { Ok(()) } else { self.save_evidence().await };
        let saved = match evidence {
            Ok(()) => self.documents.save(rollout, event).await,
            Err(error) => Err(error),
        };
        if saved.is_ok() {
            self.failing = None;
        } else {
            self.failing.get_or_insert_with(Instant::now);
        }
        let saved = saved?;
        if matches!(saved, Saved::Done) {
            self.unsaved = None;
            if is_lowered {
                // If it fails, the next save will bring it.
                let _ = self.save_evidence().await;
            }
        }
        Ok(saved)
    }

    /// Evidence that cannot be stored costs a restart what was seen so far, and is no reason to stop.
    async fn save_evidence(&mut self) -> Result<(), DocumentError> {
        match self.documents.save_evidence(&self.evidence.to_stored()).await {
            Err(error) if error.is_lasting() => {
                let name = self.canary.name();
                tracing::warn!(target: TARGET, canary = %name, "evidence is not stored: {error}");
                Ok(())
            }
            other => other,
        }
    }

    /// Saves what is in force, if that has failed before.
    pub(super) async fn save_again(&mut self) {
        if self.unsaved.is_some() {
            self.save_progress().await;
        } else if self.unloaded.is_none() && self.documents.lacks_events(&self.rollout) {
            self.keep_events().await;
        }
    }

    /// Saves what is in force as it is.
    pub(super) async fn save_progress(&mut self) {
        if self.unloaded.is_some() || !self.is_ours() {
            return;
        }
        let is_lowered = self.rollout.weight() == Weight::ZERO;
        let event = self.rollout.history().last().cloned();
        let mut saved = self.save(&self.rollout.clone(), event.as_ref(), is_lowered).await;
        if let Ok(Saved::Conflict(Some(theirs))) = &saved
            && !theirs.went_back
            && self.unsaved.is_some()
            && self.knows(theirs)
        {
            // An answer was lost, or others have noted the time: nothing in it is news.
            saved = self.save(&self.rollout.clone(), event.as_ref(), is_lowered).await;
        }
        match saved {
            Ok(Saved::Done) => {
                if self.pending.take().is_some() {
                    self.bring_into_force();
                }
                self.keep_events().await;
            }
            Ok(Saved::Conflict(theirs)) => self.take_over(theirs),
            Ok(Saved::Overtaken(theirs)) => self.take_over(Some(theirs)),
            Err(error) => self.note_unsaved(&error),
        }
    }

    /// Whether ours comes of theirs.
    fn knows(&self, theirs: &Found) -> bool {
        theirs.rollout.releases() == self.rollout.releases()
            && (theirs.rollout.history().next_back())
                .is_none_or(|last| self.rollout.history().any(|event| event == last))
    }

    fn note_unsaved(&mut self, error: &DocumentError) {
        self.unsaved.get_or_insert_with(Instant::now);
        tracing::warn!(target: TARGET, canary = %self.canary.name(), "not stored: {error}");
    }

    /// Tells what happened to those who listen, and to the log.
    fn tell(&self, events: &[Event]) {
        for event in events {
            audit(&Notification::new(&self.rollout, event.clone()));
            // Nobody may be listening.
            let _ = self.events.send(event.clone());
        }
    }

    /// Adds what happened to the store's history, once it is stored.
    async fn keep_events(&mut self) {
        if let Err(error) = self.documents.keep_events(&self.rollout).await {
            tracing::warn!(target: TARGET, canary = %self.canary.name(), "not kept: {error}");
        }
    }

    /// Whether the rollout is about the releases of this process.
    pub(super) fn is_ours(&self) -> bool {
        *self.rollout.releases() == self.settings.releases
    }

    /// Tells the data plane what our rollout says.
    pub(super) fn bring_into_force(&mut self) {
        self.canary.set_salt(&self.rollout.salt());
        if self.is_ours() || self.rollout.phase() == Phase::Halted {
            self.perform(&self.rollout.in_force());
        } else {
            self.perform(&[Action::RollBack]);
        }
    }
}

pub(super) const fn raises(action: &Action) -> bool {
    matches!(
        action,
        Action::SetWeight(_) | Action::Promote | Action::LiftHalt | Action::BeginEvidence { .. }
    )
}
