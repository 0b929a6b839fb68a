//! What others have done: the process before this one, other replicas, and the application's code.

use canary_core::Weight;
use canary_rollout::{Actor, Command, Order, PauseReason, Phase, RollbackReason, Rollout, State};
use tower_canary::{SplitMode, control::ControlExt};

use crate::driver::{
    attempt_judge::{Evidence, NotResumed},
    documents::{DocumentError, Found},
    run::{Driver, TARGET},
    save::Carried,
};
use crate::store::WatchEvent;

impl Driver {
    /// Goes on where the process before this one was, as far as that holds for these releases.
    pub(super) async fn load(&mut self) {
        match self.try_load().await {
            Ok(()) => self.unloaded = None,
            Err(error) => {
                let name = self.canary.name();
                tracing::warn!(target: TARGET, canary = %name, "the weight stays: {error}");
                self.unloaded = Some(error.to_string());
            }
        }
    }

    async fn try_load(&mut self) -> Result<(), DocumentError> {
        let stored = self.documents.load().await?;
        let evidence = self.documents.load_evidence().await?;
        let mut rollout = stored.map_or_else(|| self.rollout.clone(), |found| *found.rollout);
        let now = self.clock.now();
        let mut outcomes = vec![rollout.set_releases(now, self.settings.releases.clone())];
        let is_same = outcomes[0].actions.is_empty();
        let (plan, by) = (self.settings.plan.clone(), Actor::program(DEPLOYMENT));
        match rollout.replace_plan(now, plan, &by, "the plan of this build") {
            Ok(outcome) => outcomes.push(outcome),
            Err(in_use) => {
                tracing::warn!(target: TARGET, canary = %self.canary.name(), "{in_use}");
            }
        }
        // Keys are watched by the hashes that the rollout says.
        self.canary.set_salt(&rollout.salt());
        self.evidence = evidence
            .filter(|stored| is_same && stored.attempt() == rollout.attempt())
            .and_then(|stored| {
                let plan = rollout.plan();
                let resumed = Evidence::resume(&stored, plan, &self.canary, &self.alarm);
                resumed.inspect_err(|error| self.warn_of_evidence(error)).ok()
            })
            .unwrap_or_else(|| {
                Evidence::begin(rollout.attempt(), rollout.plan(), &self.canary, &self.alarm)
            });
        self.unloaded = None;
        self.register(rollout.plan());
        self.adopt(rollout.clone());
        self.bring_into_force();
        for outcome in outcomes.iter().filter(|outcome| !outcome.actions.is_empty()) {
            if let Carried::Overtaken = self.carry_out(rollout.clone(), outcome).await {
                return Err(DocumentError::Contended);
            }
        }
        Ok(())
    }

    fn warn_of_evidence(&self, error: &NotResumed) {
        let name = self.canary.name();
        tracing::warn!(target: TARGET, canary = %name, "evidence is collected anew: {error}");
    }

    /// Starts the plan, if these releases have not been rolled out and the application asks for that.
    pub(super) fn start_if_idle(&mut self) {
        let is_idle = self.unloaded.is_none() && self.rollout.phase() == Phase::Idle;
        if self.settings.auto_start && is_idle && self.is_ours() {
            let why = "these releases have not been rolled out";
            self.owe(Order::new(Command::Start, Actor::program(DEPLOYMENT), why));
        }
    }

    /// Takes note of what the store says.
    pub(super) fn follow(&mut self, change: &WatchEvent) {
        self.is_behind |= match change {
            WatchEvent::Value(found) => !self.documents.has(Some(&found.revision)),
            WatchEvent::Absent => self.documents.has(None),
            WatchEvent::Stale { .. } | WatchEvent::Fresh => false,
        };
    }

    /// Looks what somebody else has stored. What a watch brings may be older than what was stored here
    /// meanwhile, and so is no more than a hint.
    pub(super) async fn catch_up(&mut self) {
        if !self.is_behind || self.unloaded.is_some() {
            return;
        }
        let before = self.documents.revision().cloned();
        match self.documents.load().await {
            Ok(found) => {
                self.is_behind = false;
                if self.documents.revision() != before.as_ref() {
                    self.take_over(found);
                }
                self.show();
            }
            Err(error @ DocumentError::Store(_)) => {
                tracing::warn!(target: TARGET, canary = %self.canary.name(), "not read: {error}");
            }
            Err(error) => {
                self.is_behind = false;
                tracing::error!(target: TARGET, canary = %self.canary.name(), "ignored: {error}");
            }
        }
    }

    /// Lets what somebody else has stored be in force here too.
    pub(super) fn take_over(&mut self, theirs: Option<Found>) {
        let Some(Found { rollout: theirs, went_back }) = theirs else {
            // Somebody has removed it. Ours is what is in force, and is stored with the next tick.
            self.unsaved.get_or_insert_with(tokio::time::Instant::now);
            return;
        };
        if let Some(pending) = self.pending.take() {
            let event = pending.outcome.events.last();
            if theirs.history().any(|theirs| Some(theirs) == event) {
                self.complete(pending.after, &pending.outcome);
            }
        }
        let ours = self.rollout.clone();
        self.documents.leave_events(&ours, &theirs);
        let is_unsaved = self.unsaved.take().is_some();
        self.failing = None;
        if theirs.attempt() != ours.attempt() {
            self.canary.set_salt(&theirs.salt());
            self.evidence =
                Evidence::begin(theirs.attempt(), theirs.plan(), &self.canary, &self.alarm);
        } else if theirs.state().stage() != ours.state().stage() {
            self.evidence.begin_step();
        }
        let (theirs_weight, from) = (theirs.weight(), theirs.generation());
        self.adopt(*theirs);
        let name = self.canary.name();
        if !self.is_ours() {
            tracing::warn!(target: TARGET, canary = %name, "others roll out other releases");
            self.bring_into_force();
        } else if is_unsaved && let Some(order) = insists(&ours, &self.rollout) {
            // What we found and could not store holds against what they did not know.
            self.canary.set_salt(&self.rollout.salt());
            self.owe(order);
        } else if went_back {
            // A restored backup knows less than we do. Nothing may rise by it.
            let to = ours.generation();
            tracing::error!(target: TARGET, canary = %name, "the store went back from {to} to {from}");
            self.canary.set_salt(&self.rollout.salt());
            if self.canary.weight() > theirs_weight {
                self.bring_into_force();
            }
            let weight = self.canary.weight();
            let lower = Command::SetWeight { weight };
            let command = if weight == theirs_weight {
                Command::Pause
            } else if self.rollout.refusal(&lower).is_none() {
                lower
            } else {
                Command::RollBack
            };
            let why = "the store went back to an older state";
            self.owe(Order::new(command, Actor::program(CONTROLLER), why));
        } else {
            self.bring_into_force();
        }
    }

    /// Takes what the application's code did to the canary for its word: it may lower the weight past
    /// the rollout, and not raise it.
    pub(super) fn heed_code(&mut self) {
        if self.alarm.is_taken_back() {
            return;
        }
        let (weight, phase) = (self.canary.weight(), self.canary.mode());
        let by = || Actor::program(CODE);
        let is_halted = self.rollout.phase() == Phase::Halted;
        if let SplitMode::Halted { reason } = phase {
            if !is_halted {
                self.owe(Order::new(Command::Halt, by(), reason));
            }
            return;
        }
        let is_promoted = phase == SplitMode::Promoted;
        let should_be = self.rollout.phase() == Phase::Promoted && self.put == Weight::FULL;
        if weight < self.put {
            let command = Command::SetWeight { weight };
            if weight == Weight::ZERO {
                self.owe(Order::new(Command::RollBack, by(), "rolled back by the application"));
            } else if self.rollout.refusal(&command).is_none() {
                self.owe(Order::new(command, by(), "lowered by the application"));
            } else {
                // Nothing between all and nothing is left to a plan that is done.
                self.owe(Order::new(Command::RollBack, by(), "lowered by the application"));
            }
        } else if weight > self.put || is_halted || is_promoted != should_be {
            let name = self.canary.name();
            tracing::warn!(target: TARGET, canary = %name, "{weight} was set past the rollout");
            self.bring_into_force();
        }
    }
}

/// What must be repeated on theirs, since ours was in force and they did not know.
fn insists(ours: &Rollout, theirs: &Rollout) -> Option<Order> {
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

/// Who acts when a process starts.
const DEPLOYMENT: &str = "deployment";
/// Who acts when stores and replicas disagree.
const CONTROLLER: &str = "controller";
/// Who acts when the application uses the handle itself.
const CODE: &str = "application";
