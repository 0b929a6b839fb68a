use std::time::Duration;

use canary_core::{Verdict, Weight};

use super::{Rollout, change::Change, decide::Decision};
use crate::{
    action::{Action, Answered, Outcome},
    actor::Actor,
    command::{Command, Order},
    event::What,
    state::{Cause, Deadline, GateState, Pause, Progress, Stage, State, Warrant},
    text::{REASON_BYTES, bounded},
    timestamp::Timestamp,
};

impl Rollout {
    /// Does what somebody says.
    ///
    /// A command that changes nothing, since it is so already, has an outcome with a
    /// [note](Outcome::note) and no actions: who repeats one does no harm.
    ///
    /// # Errors
    ///
    /// If the state does not allow the command. Nothing changes then, and the refusal names those
    /// that are allowed.
    pub fn command(&mut self, now: Timestamp, order: &Order) -> Answered {
        let Order { command, by, reason } = order;
        let (by, reason) = (&by.bounded(), &bounded(reason, REASON_BYTES));
        match self.decide(command) {
            Ok(Decision::Obey) => {
                let mut change = Change::new(self, now);
                change.obey(command, by, reason);
                Ok(change.finish())
            }
            Ok(Decision::Already(note)) => Ok(Outcome { note: Some(note), ..Outcome::default() }),
            Err(why) => Err(self.refuse(command, why)),
        }
    }
}

impl Change<'_> {
    fn obey(&mut self, command: &Command, by: &Actor, reason: &str) {
        let word = || Warrant::Word { by: by.clone(), reason: reason.to_owned() };
        match command {
            Command::Start | Command::Restart => self.start(by, reason),
            Command::Pause => {
                let why = Pause::Word { by: by.clone(), reason: reason.to_owned() };
                self.pause(why, by.clone(), What::Paused, reason.to_owned());
            }
            Command::Resume => self.resume(by, reason),
            Command::SkipStep => self.skip(by, reason),
            Command::SetWeight { weight } => {
                if self.rollout.state == State::Idle {
                    self.start_at_zero(by, reason);
                }
                self.set_weight(*weight);
                let why = Pause::Word { by: by.clone(), reason: reason.to_owned() };
                let why = match &self.rollout.state {
                    State::Paused { why: frozen @ Pause::Degraded(_), .. } => frozen.clone(),
                    _ => why,
                };
                self.pause(why, by.clone(), What::WeightSet, reason.to_owned());
            }
            Command::Promote => self.promote_by(by.clone(), word(), Leap::AtOnce),
            Command::PromoteFully => self.promote_fully(by.clone(), word()),
            Command::RollBack => {
                let (by, reason) = (by.clone(), reason.to_owned());
                self.roll_back(Cause::Word { by, reason });
            }
            Command::Halt => {
                self.take_back(Action::Halt(reason.to_owned()));
                let (at, why) = (self.now, reason.to_owned());
                self.enter(State::Halted { at, by: by.clone(), why });
                self.record(by.clone(), What::Halted, reason);
            }
            Command::Release => {
                let why = match &self.rollout.state {
                    State::Halted { why, .. } => why.clone(),
                    _ => String::new(),
                };
                self.enter(State::RolledBack { at: self.now, why: Cause::Halt { why } });
                self.raise(Action::ReleaseHalt);
                self.record(by.clone(), What::Released, reason);
            }
            Command::Approve { gate } => self.open_gate(gate, by, reason),
            Command::Reject { gate } => {
                let said = if reason.is_empty() { format!("{by} said no") } else { reason.into() };
                self.close_gate(gate, by.clone(), &said);
            }
        }
    }

    fn start(&mut self, by: &Actor, reason: &str) {
        self.start_at_zero(by, reason);
        self.proceed();
    }

    fn start_at_zero(&mut self, by: &Actor, reason: &str) {
        let now = self.now;
        self.set_weight(Weight::ZERO);
        let rollout = &mut *self.rollout;
        rollout.attempt += 1;
        rollout.clock.elapsed = Duration::ZERO;
        rollout.clock.latest = Some(now);
        rollout.verdict = Verdict::Inconclusive;
        rollout.evidence.clear();
        let (attempt, salt) = (rollout.attempt, rollout.salt());
        self.enter(State::Starting {
            progress: Progress { since: Some(now), ..Progress::default() },
        });
        self.raise(Action::BeginEvidence { salt });
        self.record(by.clone(), What::Started { attempt }, reason);
    }

    /// Lets the plan stand still where it is, whatever it is about to wait for.
    pub(super) fn pause(&mut self, why: Pause, by: Actor, what: What, text: String) {
        let since = match &self.rollout.state {
            State::Paused { since, .. } => *since,
            _ => self.now,
        };
        let state = &self.rollout.state;
        if let (Some(stage), Some(progress)) = (state.stage(), state.progress().cloned()) {
            self.enter(State::Paused { stage, progress, since, why });
            if what == What::Frozen {
                self.record_proof(by, what, text);
            } else {
                self.record(by, what, text);
            }
        }
    }

    fn resume(&mut self, by: &Actor, reason: &str) {
        let State::Paused { stage, progress, why, .. } = self.rollout.state.clone() else { return };
        let mut progress = progress;
        progress.waited = Duration::ZERO;
        progress.gates.retain(|_, state| matches!(state, GateState::Open { .. }));
        if self.rollout.weight != self.weight_of(&stage) {
            // What was seen at another weight says nothing of the stage's.
            progress.since = None;
            progress.seen = Duration::ZERO;
            progress.calls = 0;
        }
        if why == Pause::Deadline(Deadline::Rollout) {
            self.rollout.clock.elapsed = Duration::ZERO;
        }
        self.rollout.clock.latest = Some(self.now);
        self.enter(match stage {
            Stage::Start => State::Starting { progress },
            Stage::Step { step } => State::Running { step, progress },
            Stage::Bake { by } => State::Baking { progress, by },
        });
        self.record(by.clone(), What::Resumed, reason);
        let why = "after a pause".to_owned();
        self.bring_into_force(by.clone(), why, Leap::WhenOpen);
    }

    fn skip(&mut self, by: &Actor, reason: &str) {
        let next = match &self.rollout.state {
            State::Running { step, .. } => step + 1,
            _ => 0,
        };
        let why = if reason.is_empty() { "skipped".into() } else { format!("skipped: {reason}") };
        self.begin_step(next, by.clone(), why);
    }
}

/// Whether a promotion waits for the calendar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Leap {
    AtOnce,
    WhenOpen,
}
