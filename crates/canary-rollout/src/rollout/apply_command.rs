use std::time::Duration;

use canary_core::{Verdict, Weight};

use super::{Rollout, change::Change, decide::Decision, proceed::CalendarGate};
use crate::{
    action::{Action, Transition},
    actor::Actor,
    command::{
        Refusal, RefusalReason,
        order::{Command, Order},
    },
    event::EventKind,
    state::{
        Deadline, GateState, PauseReason, Progress, PromotionBasis, RollbackReason, Stage,
        phase::State,
    },
    text::{REASON_BYTES, bounded},
    timestamp::Timestamp,
};

impl Rollout {
    /// Applies an operator's command.
    ///
    /// A command that changes nothing, such as a second pause, returns a [note](Transition::note)
    /// and no actions. A program cannot start the rollout again during the
    /// [cool-down](Self::COOL_DOWN).
    ///
    /// # Errors
    ///
    /// Returns an error if the state does not allow the command. The rollout is unchanged then, and
    /// the error lists the allowed commands.
    pub fn command(&mut self, now: Timestamp, order: &Order) -> Result<Transition, Refusal> {
        let Order { command, by, reason } = order;
        let (by, reason) = (&by.bounded(), &bounded(reason, REASON_BYTES));
        let decision = match self.cool_down(now, order) {
            Some(left) => Decision::Refuse(RefusalReason::CoolDown { left }),
            None => self.decide(command),
        };
        match decision {
            Decision::Apply => {
                let mut change = Change::new(self, now);
                change.apply(command, by, reason);
                Ok(change.finish())
            }
            Decision::NoOp(note) => {
                Ok(Transition { note: Some(note.to_string()), ..Transition::default() })
            }
            Decision::Refuse(reason) => Err(self.refuse(command, reason)),
        }
    }
}

impl Change<'_> {
    fn apply(&mut self, command: &Command, by: &Actor, reason: &str) {
        let manual = || PromotionBasis::Manual { by: by.clone(), reason: reason.to_owned() };
        match command {
            Command::Start | Command::Restart => self.start(by, reason),
            Command::Pause => {
                let pause = PauseReason::Manual { by: by.clone(), reason: reason.to_owned() };
                self.pause(pause, by.clone(), EventKind::Paused, reason.to_owned());
            }
            Command::Resume => self.resume(by, reason),
            Command::SkipStep => self.skip(by, reason),
            Command::SetWeight { weight } => self.set_weight_manually(*weight, by, reason),
            Command::Promote => self.promote_by(by.clone(), manual()),
            Command::PromoteFully => self.promote_fully(by.clone(), manual()),
            Command::RollBack => {
                let (by, reason) = (by.clone(), reason.to_owned());
                self.roll_back(RollbackReason::Manual { by, reason });
            }
            Command::Halt => {
                self.take_back(Action::Halt(reason.to_owned()));
                let (at, by) = (self.now, by.clone());
                self.enter(State::Halted { at, by: by.clone(), reason: reason.to_owned() });
                self.record(by, EventKind::Halted, reason);
            }
            Command::LiftHalt => self.lift_halt(by, reason),
            Command::Approve { gate } => self.open_gate(gate, by, reason),
            Command::Reject { gate } => {
                let message = match reason {
                    "" => format!("rejected by {by}"),
                    reason => reason.to_owned(),
                };
                self.reject_gate(gate, by.clone(), &message);
            }
            Command::SetVariables(patches) => self.set_variables(patches, by, reason),
        }
    }

    fn start(&mut self, by: &Actor, reason: &str) {
        self.start_at_zero(by, reason);
        if !self.rollout.plan().is_by_hand() {
            self.proceed();
        }
    }

    fn start_at_zero(&mut self, by: &Actor, reason: &str) {
        let now = self.now;
        self.set_weight(Weight::ZERO);
        let rollout = &mut *self.rollout;
        rollout.attempt = rollout.attempt.saturating_add(1);
        rollout.clock.elapsed = Duration::ZERO;
        rollout.clock.latest = Some(now);
        rollout.verdict = Verdict::Inconclusive;
        rollout.evidence.clear();
        rollout.warm_up_left = None;
        rollout.without_quorum = None;
        let (attempt, salt) = (rollout.attempt, rollout.salt());
        let progress = Progress { since: Some(now), ..Progress::default() };
        self.enter(if self.rollout.plan().is_by_hand() {
            let pause = PauseReason::Manual { by: by.clone(), reason: reason.to_owned() };
            State::Paused { stage: Stage::Start, progress, since: now, reason: pause }
        } else {
            State::Starting { progress }
        });
        self.raise(Action::BeginEvidence { salt });
        self.record(by.clone(), EventKind::Started { attempt }, reason);
    }

    fn set_weight_manually(&mut self, weight: Weight, by: &Actor, reason: &str) {
        if self.rollout.state == State::Idle {
            self.start_at_zero(by, reason);
        }
        self.set_weight(weight);
        let pause = match &self.rollout.state {
            State::Paused { reason: frozen @ PauseReason::Degraded(_), .. } => frozen.clone(),
            _ => PauseReason::Manual { by: by.clone(), reason: reason.to_owned() },
        };
        self.pause(pause, by.clone(), EventKind::WeightSet, reason.to_owned());
    }

    /// Pauses the plan at its current stage.
    pub(super) fn pause(
        &mut self,
        reason: PauseReason,
        by: Actor,
        kind: EventKind,
        event_reason: String,
    ) {
        let since = match &self.rollout.state {
            State::Paused { since, .. } => *since,
            _ => self.now,
        };
        let state = &self.rollout.state;
        if let (Some(stage), Some(progress)) = (state.stage(), state.progress().cloned()) {
            self.enter(State::Paused { stage, progress, since, reason });
            if kind == EventKind::Frozen {
                self.record_with_evidence(by, kind, event_reason);
            } else {
                self.record(by, kind, event_reason);
            }
        }
    }

    fn resume(&mut self, by: &Actor, reason: &str) {
        let State::Paused { stage, mut progress, reason: paused_for, .. } =
            self.rollout.state.clone()
        else {
            return;
        };
        progress.waited = Duration::ZERO;
        progress.gates.retain(|_, state| matches!(state, GateState::Open { .. }));
        if self.rollout.weight != self.rollout.weight_of(&stage) {
            // Time and calls at another weight do not count for the stage.
            progress.since = None;
            progress.ticked = Duration::ZERO;
            progress.calls = 0;
        }
        if paused_for == PauseReason::Deadline(Deadline::Rollout) {
            self.rollout.clock.elapsed = Duration::ZERO;
        }
        self.rollout.clock.latest = Some(self.now);
        self.enter(match stage {
            Stage::Start => State::Starting { progress },
            Stage::Step { step } => State::Running { step, progress },
            Stage::Bake { basis } => State::Baking { progress, basis },
        });
        self.record(by.clone(), EventKind::Resumed, reason);
        self.bring_into_force(by.clone(), "after a pause".to_owned(), CalendarGate::Respect);
    }

    fn skip(&mut self, by: &Actor, reason: &str) {
        let next = match &self.rollout.state {
            State::Running { step, .. } => step + 1,
            _ => 0,
        };
        let reason =
            if reason.is_empty() { "skipped".into() } else { format!("skipped: {reason}") };
        self.begin_step(next, by.clone(), reason);
    }

    fn lift_halt(&mut self, by: &Actor, reason: &str) {
        let halted_for = match &self.rollout.state {
            State::Halted { reason, .. } => reason.clone(),
            _ => String::new(),
        };
        let rollback = RollbackReason::Halt { reason: halted_for };
        self.enter(State::RolledBack { at: self.now, reason: rollback });
        self.raise(Action::LiftHalt);
        self.record(by.clone(), EventKind::HaltLifted, reason);
    }
}
