//! Follows changes by other replicas, which arrive through the store, and by the application, which
//! uses the `CanaryHandle` directly.

use canary_core::Weight;
use canary_rollout::{
    Actor, Command, Order, Phase, Rollout, State,
    state::{PauseReason, RollbackReason},
};
use tokio::time::Instant;
use tower_canary::SplitMode;

use crate::{
    driver::{
        attempt_judge::AttemptJudge,
        documents::{DocumentError, StoredRollout},
        run::{Driver, TARGET},
    },
    store::WatchEvent,
};

impl Driver {
    /// Notes whether a watch has reported another rollout than the one last loaded or saved.
    pub(super) fn note_change(&mut self, change: &WatchEvent) {
        self.is_behind |= match change {
            WatchEvent::Value(found) => !self.documents.is_based_on(Some(&found.revision)),
            WatchEvent::Absent => self.documents.is_based_on(None),
            WatchEvent::Stale { .. } | WatchEvent::Fresh => false,
        };
    }

    /// Loads the rollout again if a watch has reported a change.
    ///
    /// A value from a watch may be older than the latest save of this driver. It is therefore only
    /// a hint to load.
    pub(super) async fn reload_if_behind(&mut self) {
        if !self.is_behind || self.load_error.is_some() {
            return;
        }
        let before = self.documents.revision().cloned();
        match self.documents.load().await {
            Ok(stored) => {
                self.is_behind = false;
                if self.documents.revision() != before.as_ref() {
                    self.apply_stored(stored);
                }
                self.publish_status();
            }
            Err(error @ DocumentError::Store(_)) => {
                let name = self.canary.name();
                tracing::warn!(target: TARGET, canary = %name, "the rollout is not reloaded: {error}");
            }
            Err(error) => {
                self.is_behind = false;
                let name = self.canary.name();
                tracing::error!(
                    target: TARGET, canary = %name,
                    "a change of the stored rollout is ignored: {error}",
                );
            }
        }
    }

    /// Applies a rollout stored by another replica, or `None` if the document was removed.
    pub(super) fn apply_stored(&mut self, stored: Option<StoredRollout>) {
        let Some(StoredRollout { rollout: theirs, is_older }) = stored else {
            // The rollout in force stays, and the next tick stores it again.
            self.unsaved_since.get_or_insert_with(Instant::now);
            return;
        };
        if let Some(unconfirmed) = self.unconfirmed.take() {
            let event = unconfirmed.transition.events.last();
            if theirs.history().any(|theirs| Some(theirs) == event) {
                self.finish_replaced(unconfirmed.after, &unconfirmed.transition);
            }
        }
        let ours = self.rollout.clone();
        self.documents.skip_events(&ours, &theirs);
        let is_unsaved = self.unsaved_since.take().is_some();
        self.failing_since = None;
        let has_other_keys = theirs.sticky_secret() != ours.sticky_secret();
        if theirs.attempt() != ours.attempt() || has_other_keys {
            self.set_salt(&theirs);
            let (attempt, plan) = (theirs.attempt(), theirs.plan());
            self.judge = AttemptJudge::new(attempt, plan, &self.canary, &self.weight_lock);
        } else if theirs.state().stage() != ours.state().stage() {
            self.judge.begin_step();
        }
        self.set_rollout(*theirs);
        if !self.owns_releases() {
            let name = self.canary.name();
            tracing::warn!(
                target: TARGET, canary = %name,
                "the stored rollout is for other releases, and the weight here is zero",
            );
            self.enforce_rollout();
        } else if is_unsaved && let Some(order) = order_to_reassert(&ours, &self.rollout) {
            self.set_salt(&self.rollout);
            self.enqueue(order);
        } else if is_older {
            self.keep_weight_of_newer(&ours);
        } else {
            self.enforce_rollout();
        }
    }

    /// Pauses a rollout that is older than `ours`, for example from a restored backup. The weight
    /// does not rise.
    fn keep_weight_of_newer(&mut self, ours: &Rollout) {
        let (from, to) = (ours.generation(), self.rollout.generation());
        let name = self.canary.name();
        tracing::error!(
            target: TARGET, canary = %name,
            "the store went back from generation {from} to {to}",
        );
        let stored_weight = self.rollout.weight();
        self.set_salt(&self.rollout);
        if self.canary.weight() > stored_weight {
            self.enforce_rollout();
        }
        let weight = self.canary.weight();
        let lower = Command::SetWeight { weight };
        let command = if weight == stored_weight {
            Command::Pause
        } else if self.rollout.refusal(&lower).is_none() {
            lower
        } else {
            Command::RollBack
        };
        let reason = "the store went back to an older state";
        self.enqueue(Order::new(command, Actor::program(CONTROLLER), reason));
    }

    /// Turns direct changes of the `CanaryHandle` into commands of the rollout if they lower the
    /// weight, and undoes them if they raise it.
    pub(super) fn reconcile_handle(&mut self) {
        if self.weight_lock.is_blocked() {
            return;
        }
        let (weight, mode) = (self.canary.weight(), self.canary.mode());
        let by = || Actor::program(APPLICATION);
        let is_halted = self.rollout.phase() == Phase::Halted;
        if let SplitMode::Halted { reason } = mode {
            if !is_halted {
                self.enqueue(Order::new(Command::Halt, by(), reason));
            }
            return;
        }
        let is_promoted = mode == SplitMode::Promoted;
        let expects_promotion =
            self.rollout.phase() == Phase::Promoted && self.applied_weight == Weight::FULL;
        if weight < self.applied_weight {
            let command = Command::SetWeight { weight };
            if weight == Weight::ZERO {
                let reason = "rolled back by the application";
                self.enqueue(Order::new(Command::RollBack, by(), reason));
            } else if self.rollout.refusal(&command).is_none() {
                self.enqueue(Order::new(command, by(), "lowered by the application"));
            } else {
                // A rollout that has ended has no intermediate weights.
                self.enqueue(Order::new(Command::RollBack, by(), "lowered by the application"));
            }
        } else if weight > self.applied_weight || is_halted || is_promoted != expects_promotion {
            let name = self.canary.name();
            tracing::warn!(
                target: TARGET, canary = %name,
                "the application set the weight to {weight}, which is undone: \
                 use `RolloutHandle::set_weight`",
            );
            self.enforce_rollout();
        }
    }
}

/// Returns the command that repeats the state of `ours` on `theirs`, which was stored without
/// knowing `ours`. Only states that keep the weight low are repeated.
fn order_to_reassert(ours: &Rollout, theirs: &Rollout) -> Option<Order> {
    let is_higher = theirs.weight() > ours.weight();
    let order = |command, by: &Actor, reason: &str| Some(Order::new(command, by.clone(), reason));
    match ours.state() {
        State::Halted { by, reason, .. } if theirs.phase() != Phase::Halted => {
            order(Command::Halt, by, reason)
        }
        State::RolledBack { reason, .. } | State::RampingDown { reason, .. } if is_higher => {
            match reason {
                RollbackReason::Manual { by, reason } => order(Command::RollBack, by, reason),
                other => order(Command::RollBack, &other.actor(), &other.to_string()),
            }
        }
        State::Paused { reason, .. } if is_higher || theirs.phase() == Phase::Running => {
            let (by, reason) = match reason {
                PauseReason::Manual { by, reason } => (by.clone(), reason.clone()),
                other => (Actor::program(CONTROLLER), other.to_string()),
            };
            let weight = ours.weight();
            let command = if is_higher { Command::SetWeight { weight } } else { Command::Pause };
            order(command, &by, &reason)
        }
        _ => None,
    }
}

/// The actor of commands that resolve differences between replicas and the store.
const CONTROLLER: &str = "controller";
/// The actor of changes that the application makes on the `CanaryHandle`.
const APPLICATION: &str = "application";
