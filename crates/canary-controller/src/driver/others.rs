//! What others have done: the process before this one, other replicas, and the application's code.

use canary_core::Weight;
use canary_rollout::{Actor, Command, Phase, Rollout};
use tower_canary::Phase as DataPhase;

use super::{
    Driver, TARGET,
    document::DocumentError,
    evidence::{Evidence, NotResumed},
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
        if self.unloaded.is_none()
            && self.settings.starts_by_itself
            && self.rollout.phase() == Phase::Idle
        {
            self.owe(Command::Start, DEPLOYMENT, "these releases have not been rolled out");
        }
    }

    async fn try_load(&mut self) -> Result<(), DocumentError> {
        let stored = self.documents.load().await?;
        let evidence = self.documents.load_evidence().await?;
        let mut rollout = stored.unwrap_or_else(|| self.rollout.clone());
        let now = self.clock.now();
        let mut outcomes = vec![rollout.set_releases(now, self.settings.releases.clone())];
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
            .filter(|stored| stored.attempt() == rollout.attempt())
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
            self.carry_out(rollout.clone(), outcome).await;
        }
        Ok(())
    }

    fn warn_of_evidence(&self, error: &NotResumed) {
        let name = self.canary.name();
        tracing::warn!(target: TARGET, canary = %name, "evidence is collected anew: {error}");
    }

    /// Takes note of what the store says.
    pub(super) async fn follow(&mut self, change: WatchEvent) {
        let WatchEvent::Value(found) = change else { return };
        if self.unloaded.is_some() {
            return;
        }
        match self.documents.see(found) {
            None => {}
            Some(Ok(theirs)) => {
                self.take_over(Some(Box::new(theirs)));
                self.show();
            }
            Some(Err(error)) => {
                tracing::error!(target: TARGET, canary = %self.canary.name(), "ignored: {error}");
            }
        }
    }

    /// Lets what somebody else has stored be in force here too.
    pub(super) fn take_over(&mut self, theirs: Option<Box<Rollout>>) {
        let Some(theirs) = theirs else {
            // Somebody has removed it. Ours is what is in force, and is stored with the next tick.
            self.unsaved.get_or_insert_with(tokio::time::Instant::now);
            return;
        };
        let ours = self.rollout.clone();
        let went_back = theirs.generation() < ours.generation();
        if went_back {
            tracing::error!(
                target: TARGET,
                canary = %self.canary.name(),
                "the store went back from generation {} to {}", ours.generation(), theirs.generation(),
            );
        }
        let is_unsaved = self.unsaved.take().is_some();
        if theirs.attempt() != ours.attempt() {
            self.canary.set_salt(&theirs.salt());
            self.evidence =
                Evidence::begin(theirs.attempt(), theirs.plan(), &self.canary, &self.alarm);
        } else if theirs.state().stage() != ours.state().stage() {
            self.evidence.begin_step();
        }
        let theirs_weight = theirs.weight();
        let lower = theirs_weight.min(ours.weight());
        self.adopt(*theirs);
        if is_unsaved && lower < theirs_weight {
            // What we found and could not store holds against what they did not know.
            self.insist(&ours);
        } else if went_back {
            // A restored backup knows less than we do. Nothing may rise by it.
            // A halt is lower still.
            let _ = self.canary.set_weight(lower);
            self.owe(Command::Pause, CONTROLLER, "the store went back to an older state");
        } else {
            self.bring_into_force();
        }
    }

    fn insist(&mut self, ours: &Rollout) {
        let why = ours.waits(self.clock.now()).to_string();
        let command = match ours.phase() {
            Phase::Halted => Command::Halt,
            Phase::RolledBack | Phase::RampingDown => Command::RollBack,
            _ => Command::SetWeight { weight: ours.weight() },
        };
        self.owe(command, CONTROLLER, &why);
    }

    /// Takes what the application's code did to the canary for its word: it may lower the weight past
    /// the rollout, and not raise it.
    pub(super) fn heed_code(&mut self) {
        if self.alarm.is_taken_back() {
            return;
        }
        let (weight, ours) = (self.canary.weight(), self.rollout.weight());
        if let DataPhase::Halted { reason } = self.canary.phase() {
            if self.rollout.phase() != Phase::Halted {
                self.owe(Command::Halt, CODE, &reason);
            }
        } else if self.rollout.phase() == Phase::Halted || weight > ours {
            let name = self.canary.name();
            tracing::warn!(target: TARGET, canary = %name, "{weight} was set past the rollout");
            self.bring_into_force();
        } else if weight == Weight::ZERO && weight < ours {
            self.owe(Command::RollBack, CODE, "rolled back by the application");
        } else if weight < ours {
            let command = Command::SetWeight { weight };
            if self.rollout.refusal(&command).is_none() {
                self.owe(command, CODE, "lowered by the application");
            } else {
                self.bring_into_force();
            }
        }
    }
}

/// Who acts when a process starts.
const DEPLOYMENT: &str = "deployment";
/// Who acts when stores and replicas disagree.
const CONTROLLER: &str = "controller";
/// Who acts when the application uses the handle itself.
const CODE: &str = "application";
