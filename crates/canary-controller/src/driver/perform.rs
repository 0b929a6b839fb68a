//! Carrying out what a rollout asks for.

use std::sync::Arc;

use canary_core::Weight;
use canary_rollout::{Action, Ask, Event, OnDegraded, Outcome, Pause, Plan, Rollout, State};
use tokio::time::Instant;
use tower_canary::Phase as DataPhase;

use super::{
    Driver, Heard, Report, TARGET,
    document::{DocumentError, Saved},
    evidence::Evidence,
    is_watched,
};
use crate::{
    alarm::Response,
    gate::GateQuestion,
    notify::{Notification, audit},
};

/// How an outcome was carried out.
pub(super) enum Carried {
    Done,
    /// It is in force, but could not be stored.
    Unsaved(String),
    /// It could not be stored, and nothing is changed.
    Undone(String),
    /// Somebody else has stored another rollout, which is in force now.
    Overtaken,
}

impl Driver {
    /// Brings `after` into force: what lowers the weight at once, then the store, then the rest.
    pub(super) async fn carry_out(&mut self, after: Rollout, outcome: &Outcome) -> Carried {
        let actions = &outcome.actions;
        let Some(save) = actions.iter().position(|action| *action == Action::Save) else {
            self.rollout = after;
            self.perform(actions);
            return Carried::Done;
        };
        let (before_save, after_save) = (&actions[..save], &actions[save + 1..]);
        self.perform(before_save);
        match self.save(&after).await {
            Ok(Saved::Done) => {
                self.adopt(after);
                self.perform(after_save);
                self.tell(&outcome.events).await;
                Carried::Done
            }
            Ok(Saved::Conflict(theirs)) => {
                self.take_over(theirs);
                Carried::Overtaken
            }
            Err(error) if after_save.iter().any(raises) => {
                self.bring_into_force();
                Carried::Undone(error.to_string())
            }
            Err(error) => {
                self.unsaved.get_or_insert_with(Instant::now);
                self.adopt(after);
                self.perform(after_save);
                self.tell(&outcome.events).await;
                tracing::warn!(target: TARGET, canary = %self.canary.name(), "not stored: {error}");
                Carried::Unsaved(error.to_string())
            }
        }
    }

    /// Saves the evidence first: what it is ahead of the rollout does no harm.
    async fn save(&mut self, rollout: &Rollout) -> Result<Saved, DocumentError> {
        self.documents.save_evidence(&self.evidence.to_stored()).await?;
        let saved = self.documents.save(rollout).await?;
        if matches!(saved, Saved::Done) {
            self.unsaved = None;
        }
        Ok(saved)
    }

    /// Saves what is in force, if that has failed before.
    pub(super) async fn save_again(&mut self) {
        if self.unsaved.is_some() {
            self.save_progress().await;
        }
    }

    /// Saves what is in force as it is.
    pub(super) async fn save_progress(&mut self) {
        if self.unloaded.is_some() {
            return;
        }
        match self.save(&self.rollout.clone()).await {
            Ok(Saved::Done) => {}
            Ok(Saved::Conflict(theirs)) => self.take_over(theirs),
            Err(error) => {
                self.unsaved.get_or_insert_with(Instant::now);
                tracing::warn!(target: TARGET, canary = %self.canary.name(), "not stored: {error}");
            }
        }
    }

    /// Takes a rollout for ours, whose weight is in force or about to be.
    pub(super) fn adopt(&mut self, rollout: Rollout) {
        if *self.rollout.plan() != *rollout.plan() {
            self.register(rollout.plan());
        }
        self.rollout = rollout;
        self.alarm.respond_by(response(&self.rollout));
        if self.rollout.weight() == Weight::ZERO {
            self.alarm.is_known();
        }
    }

    /// Lets the receivers of a plan be told.
    pub(super) fn register(&self, plan: &Plan) {
        let name = self.canary.name();
        if let Err(unmet) = self.effects.notifier.register(name, plan) {
            tracing::error!(target: TARGET, canary = %name, "not all are told: {unmet}");
        }
    }

    /// Tells the data plane what our rollout says.
    pub(super) fn bring_into_force(&mut self) {
        self.canary.set_salt(&self.rollout.salt());
        self.perform(&self.rollout.in_force());
    }

    fn perform(&mut self, actions: &[Action]) {
        for action in actions {
            self.perform_one(action);
        }
    }

    fn perform_one(&mut self, action: &Action) {
        let canary = self.canary.clone();
        match action {
            Action::SetWeight(weight) => self.set_weight(*weight),
            Action::Promote => self.alarm.unless_taken_back(|| {
                if canary.phase() != DataPhase::Promoted {
                    self.warn_if_refused(canary.promote());
                }
            }),
            Action::RollBack => {
                if canary.weight() != Weight::ZERO {
                    canary.roll_back();
                }
            }
            Action::Halt(why) => {
                if !matches!(canary.phase(), DataPhase::Halted { reason } if reason == *why) {
                    canary.halt(why);
                }
            }
            Action::ReleaseHalt => {
                if matches!(canary.phase(), DataPhase::Halted { .. }) {
                    canary.release_halt();
                }
            }
            Action::BeginEvidence { salt } => {
                canary.set_salt(salt);
                let attempt = self.rollout.attempt();
                self.evidence = Evidence::begin(attempt, self.rollout.plan(), &canary, &self.alarm);
                self.forget_errands();
            }
            Action::BeginStep => self.evidence.begin_step(),
            Action::RunProbe(name) => self.run_probe(name.clone()),
            Action::AskGate(name) => self.ask_gate(name.clone()),
            Action::Notify { to, event } => {
                self.effects.notifier.notify(to, Notification::of(&self.rollout, event.clone()));
            }
            other => {
                tracing::error!(target: TARGET, canary = %canary.name(), "cannot do {other:?}");
            }
        }
    }

    fn set_weight(&mut self, weight: Weight) {
        let is_there = |canary: &tower_canary::CanaryHandle| {
            canary.weight() == weight && canary.phase() == DataPhase::Splitting
        };
        let set = || {
            if !is_there(&self.canary) {
                self.warn_if_refused(self.canary.set_weight(weight));
            }
        };
        if weight > self.canary.weight() { self.alarm.unless_taken_back(set) } else { set() }
    }

    fn warn_if_refused(&self, result: Result<(), tower_canary::Halted>) {
        if let Err(halted) = result {
            tracing::warn!(target: TARGET, canary = %self.canary.name(), "{halted}");
        }
    }

    fn run_probe(&mut self, name: String) {
        let Some(probe) = self.rollout.plan().probes().get(&name).cloned() else { return };
        let (effects, report) = (Arc::clone(&self.effects), self.report.clone());
        self.errands.spawn(async move {
            let outcome = effects.probes.run(&probe).await;
            // Nobody hears it once the driver has stopped.
            let _ = report.send(Report::Probe(name, outcome));
        });
    }

    fn ask_gate(&mut self, name: String) {
        let Some(gate) = self.rollout.plan().gates().get(&name).cloned() else { return };
        let question = GateQuestion::of(&self.rollout, &name, self.clock.now());
        let (Some(question), false) = (question, matches!(gate.ask, Ask::Approval(_))) else {
            // People answer by a command.
            return;
        };
        if !self.asked.insert(name.clone()) {
            // With its repetitions a question can outlast the time to the next.
            return;
        }
        let (effects, report) = (Arc::clone(&self.effects), self.report.clone());
        self.errands.spawn(async move {
            let answer = effects.gates.ask(&gate, &question).await;
            let _ = report.send(Report::Gate(name, answer));
        });
    }

    /// What was asked for an earlier attempt is not for this one.
    fn forget_errands(&mut self) {
        self.errands.abort_all();
        while self.reports.try_recv().is_ok() {}
        self.heard = Heard::default();
        self.asked.clear();
        self.probes.clear();
    }

    /// Tells what happened to those who listen, and to the log.
    async fn tell(&mut self, events: &[Event]) {
        for event in events {
            audit(&Notification::of(&self.rollout, event.clone()));
            if let Err(error) = self.documents.append(event).await {
                tracing::warn!(target: TARGET, canary = %self.canary.name(), "not kept: {error}");
            }
            // Nobody may be listening.
            let _ = self.events.send(event.clone());
        }
    }
}

const fn raises(action: &Action) -> bool {
    matches!(
        action,
        Action::SetWeight(_) | Action::Promote | Action::ReleaseHalt | Action::BeginEvidence { .. }
    )
}

/// What the guard does if it finds the canary degraded now.
fn response(rollout: &Rollout) -> Response {
    if !is_watched(rollout.phase()) || is_frozen(rollout.state()) {
        return Response::None;
    }
    match rollout.plan().on_degraded() {
        OnDegraded::RollBack => Response::RollBack,
        _ => Response::Tell,
    }
}

const fn is_frozen(state: &State) -> bool {
    matches!(state, State::Paused { why: Pause::Degraded(_), .. })
}
