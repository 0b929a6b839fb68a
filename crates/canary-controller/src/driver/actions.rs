//! Carrying out what a rollout asks for.

use std::sync::Arc;

use canary_core::Weight;
use canary_rollout::{Action, GateKind, OnDegraded, PauseReason, Plan, Rollout, State};
use tower_canary::{CanaryHandle, Halted, SplitMode, control::ControlExt};

use crate::{
    driver::{
        attempt_judge::Evidence,
        run::{Driver, Heard, Report, TARGET, is_watched},
    },
    gate::GateQuestion,
    notify::Notification,
    weight_lock::Response,
};

impl Driver {
    /// Takes a rollout for ours, whose weight is in force or about to be.
    pub(super) fn adopt(&mut self, rollout: Rollout) {
        if *self.rollout.plan() != *rollout.plan() {
            self.register(rollout.plan());
        }
        let (before, after) = (&self.rollout, &rollout);
        if before.attempt() != after.attempt() || before.state().stage() != after.state().stage() {
            self.forget_errands();
        }
        self.rollout = rollout;
        self.alarm.respond_by(response(&self.rollout), self.rollout.attempt());
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

    pub(super) fn perform(&mut self, actions: &[Action]) {
        for action in actions {
            self.perform_one(action);
        }
    }

    fn perform_one(&mut self, action: &Action) {
        let canary = self.canary.clone();
        match action {
            Action::SetWeight(weight) => self.set_weight(*weight),
            Action::Promote => self.raise(Weight::FULL, |driver| match driver.canary.mode() {
                SplitMode::Promoted => Ok(()),
                _ => driver.owner.promote(),
            }),
            Action::RollBack => {
                if canary.weight() != Weight::ZERO {
                    canary.roll_back();
                }
                self.put = Weight::ZERO;
            }
            Action::Halt(why) => {
                if !matches!(canary.mode(), SplitMode::Halted { reason } if reason == *why) {
                    canary.halt(why);
                }
                self.put = Weight::ZERO;
            }
            Action::LiftHalt => {
                if matches!(canary.mode(), SplitMode::Halted { .. }) {
                    self.raise(Weight::ZERO, |driver| {
                        driver.canary.lift_halt();
                        Ok(())
                    });
                }
            }
            Action::BeginEvidence { salt } => {
                canary.set_salt(salt);
                let attempt = self.rollout.attempt();
                self.evidence = Evidence::begin(attempt, self.rollout.plan(), &canary, &self.alarm);
                self.probes.clear();
            }
            Action::BeginStep => self.evidence.begin_step(),
            Action::RunProbe(name) => self.run_probe(name.clone()),
            Action::AskGate(name) => self.ask_gate(name.clone()),
            Action::Notify { to, event } => {
                self.effects.notifier.notify(to, Notification::new(&self.rollout, event.clone()));
            }
            other => {
                tracing::error!(target: TARGET, canary = %canary.name(), "cannot do {other:?}");
            }
        }
    }

    fn set_weight(&mut self, weight: Weight) {
        let set = |canary: &CanaryHandle| {
            let is_set = canary.weight() == weight && canary.mode() == SplitMode::Splitting;
            if is_set { Ok(()) } else { canary.set_weight(weight) }
        };
        if weight > self.canary.weight() {
            self.raise(weight, |driver| set(&driver.canary));
        } else {
            self.put = weight;
            self.warn_if_refused(set(&self.canary));
        }
    }

    /// Does what raises the weight, unless somebody has taken the canary back, or the application's code
    /// has lowered its weight: the rollout will follow.
    fn raise(&mut self, weight: Weight, raise: impl FnOnce(&Self) -> Result<(), Halted>) {
        if self.canary.weight() < self.put {
            return;
        }
        let mut raised = None;
        self.alarm.unless_taken_back(|| raised = Some(raise(self)));
        match raised {
            Some(Ok(())) => self.put = weight,
            Some(refused) => self.warn_if_refused(refused),
            None => {}
        }
    }

    fn warn_if_refused(&self, result: Result<(), Halted>) {
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
        let question = GateQuestion::for_gate(&self.rollout, &name, self.clock.now());
        let (Some(question), false) = (question, matches!(gate.kind, GateKind::Approval(_))) else {
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

    /// What was asked for another stage, or another attempt, is not for this one.
    fn forget_errands(&mut self) {
        self.errands.abort_all();
        while self.reports.try_recv().is_ok() {}
        self.heard = Heard::default();
        self.asked.clear();
    }
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
    matches!(state, State::Paused { reason: PauseReason::Degraded(_), .. })
}
