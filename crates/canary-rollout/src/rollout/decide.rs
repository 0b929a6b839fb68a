//! Which command is allowed in which state. Every pair is decided here, and nowhere else.

use canary_core::Weight;

use super::Rollout;
use crate::{
    command::{Command, CommandName},
    refusal::Refusal,
    state::{GateState, Pause, Progress, Stage, State},
    text::grouped,
};

/// What comes of a command that is not refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Decision {
    /// It is done.
    Obey,
    /// Nothing, since this is so already.
    Already(String),
}

type Decided = Result<Decision, String>;

impl Rollout {
    /// The commands that are allowed now and have an effect, for whoever shows buttons.
    ///
    /// ```
    /// use canary_rollout::{CommandName, Preset, Releases, Rollout};
    ///
    /// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
    /// let rollout = Rollout::new("checkout".parse()?, releases, Preset::all()[0].plan());
    /// assert_eq!(
    ///     rollout.allowed(),
    ///     [CommandName::Start, CommandName::SetWeight, CommandName::Halt],
    /// );
    /// # Ok::<(), canary_core::InvalidName>(())
    /// ```
    #[must_use]
    pub fn allowed(&self) -> Vec<CommandName> {
        let gate = self.gates().next().cloned().unwrap_or_default();
        let sample = |name: &CommandName| match name {
            CommandName::Start => Command::Start,
            CommandName::Pause => Command::Pause,
            CommandName::Resume => Command::Resume,
            CommandName::SkipStep => Command::SkipStep,
            // No weight is more likely to be allowed than none.
            CommandName::SetWeight => Command::SetWeight { weight: Weight::ZERO },
            CommandName::Promote => Command::Promote,
            CommandName::PromoteFully => Command::PromoteFully,
            CommandName::RollBack => Command::RollBack,
            CommandName::Halt => Command::Halt,
            CommandName::Release => Command::Release,
            CommandName::Restart => Command::Restart,
            CommandName::Approve => Command::Approve { gate: gate.clone() },
            CommandName::Reject => Command::Reject { gate: gate.clone() },
        };
        let is_allowed = |name: &CommandName| self.decide(&sample(name)) == Ok(Decision::Obey);
        CommandName::ALL.into_iter().filter(is_allowed).collect()
    }

    /// Why a command would be refused; none if it would not be.
    #[must_use]
    pub fn refusal(&self, command: &Command) -> Option<Refusal> {
        self.decide(command).err().map(|why| self.refuse(command, why))
    }

    pub(super) fn refuse(&self, command: &Command, why: String) -> Refusal {
        let (command, phase, allowed) = (command.name(), self.phase(), self.allowed());
        Refusal { command, phase, why, allowed }
    }

    pub(super) fn decide(&self, command: &Command) -> Decided {
        match &self.state {
            State::Idle => self.decide_idle(command),
            State::Starting { .. } => self.decide_starting(command),
            State::Running { step, .. } => self.decide_running(*step, command),
            State::Paused { stage, why, .. } => self.decide_paused(stage, why, command),
            State::RampingDown { .. } => decide_ramping_down(command),
            State::Baking { .. } => self.decide_baking(command),
            State::Promoted { .. } => decide_promoted(command),
            State::RolledBack { .. } => decide_rolled_back(command),
            State::Halted { .. } => decide_halted(command),
        }
    }

    fn decide_idle(&self, command: &Command) -> Decided {
        match command {
            Command::Start | Command::Halt => Ok(Decision::Obey),
            Command::SetWeight { weight } => self.decide_weight(*weight),
            Command::RollBack => already("nothing runs, and every call is stable's"),
            Command::Release => already("nothing is halted"),
            Command::Pause
            | Command::Resume
            | Command::SkipStep
            | Command::Promote
            | Command::PromoteFully
            | Command::Restart
            | Command::Approve { .. }
            | Command::Reject { .. } => refuse("nothing runs yet: start it"),
        }
    }

    fn decide_starting(&self, command: &Command) -> Decided {
        match command {
            Command::Pause
            | Command::SkipStep
            | Command::Promote
            | Command::PromoteFully
            | Command::RollBack
            | Command::Halt
            | Command::Restart => Ok(Decision::Obey),
            Command::SetWeight { weight } => self.decide_weight(*weight),
            Command::Approve { gate } | Command::Reject { gate } => self.decide_gate(gate, command),
            Command::Start => already("it has started"),
            Command::Resume => already("it is not paused"),
            Command::Release => already("nothing is halted"),
        }
    }

    fn decide_running(&self, step: usize, command: &Command) -> Decided {
        match command {
            Command::SkipStep if step + 1 == self.plan().steps().len() => {
                refuse("this step is the last: promote")
            }
            Command::Pause
            | Command::SkipStep
            | Command::Promote
            | Command::PromoteFully
            | Command::RollBack
            | Command::Halt
            | Command::Restart => Ok(Decision::Obey),
            Command::SetWeight { weight } => self.decide_weight(*weight),
            Command::Approve { gate } | Command::Reject { gate } => self.decide_gate(gate, command),
            Command::Start => already("it runs"),
            Command::Resume => already("it is not paused"),
            Command::Release => already("nothing is halted"),
        }
    }

    fn decide_paused(&self, stage: &Stage, why: &Pause, command: &Command) -> Decided {
        let is_frozen = matches!(why, Pause::Degraded(_));
        match command {
            Command::Resume if is_frozen => {
                refuse("the canary is degraded: restart with new evidence, or go back")
            }
            Command::Resume if *why == Pause::Maximum => {
                refuse("the steps are done, and the plan leaves the promotion to a person")
            }
            Command::Promote if is_frozen => {
                refuse("a bake would find it degraded again: to promote all the same, fully")
            }
            Command::Promote if matches!(stage, Stage::Bake { .. }) => {
                refuse("it bakes already: resume, or promote fully")
            }
            Command::SetWeight { weight } if is_frozen && *weight > self.weight => {
                refuse("the canary is degraded, and its weight can only be lowered")
            }
            Command::SetWeight { weight } => self.decide_weight(*weight),
            Command::Resume
            | Command::Promote
            | Command::PromoteFully
            | Command::RollBack
            | Command::Halt
            | Command::Restart => Ok(Decision::Obey),
            Command::Approve { gate } | Command::Reject { gate } => self.decide_gate(gate, command),
            Command::SkipStep => refuse("the plan stands still: resume first"),
            Command::Start => refuse("it is under way: resume, or restart"),
            Command::Pause => already("it is paused"),
            Command::Release => already("nothing is halted"),
        }
    }

    fn decide_baking(&self, command: &Command) -> Decided {
        match command {
            Command::Pause
            | Command::PromoteFully
            | Command::RollBack
            | Command::Halt
            | Command::Restart => Ok(Decision::Obey),
            Command::SetWeight { weight } => self.decide_weight(*weight),
            Command::SkipStep => refuse("all steps are done: promote fully, to end the bake"),
            Command::Approve { .. } | Command::Reject { .. } => refuse("no gate waits in a bake"),
            Command::Start => already("it runs"),
            Command::Promote => already("it bakes: to end that, promote fully"),
            Command::Resume => already("it is not paused"),
            Command::Release => already("nothing is halted"),
        }
    }

    fn decide_weight(&self, weight: Weight) -> Decided {
        let maximum = self.plan().max_weight();
        if weight > maximum {
            return Err(format!("{weight} is above the plan's maximum weight, {maximum}"));
        }
        if weight == Weight::FULL {
            return refuse("100% is a promotion: promote");
        }
        Ok(Decision::Obey)
    }

    fn decide_gate(&self, gate: &str, command: &Command) -> Decided {
        let state = self.state.progress().and_then(|progress| progress.gates.get(gate));
        match state {
            Some(GateState::Asked { .. }) => Ok(Decision::Obey),
            Some(GateState::Open { .. }) if command.name() == CommandName::Approve => {
                already("the gate is open")
            }
            Some(GateState::Open { .. }) => refuse("the gate is open: pause, or roll back"),
            None => {
                let asked: Vec<_> = self.gates().map(|name| format!("{name:?}")).collect();
                Err(if asked.is_empty() {
                    format!("gate {gate:?} does not wait, and no other gate does")
                } else {
                    format!("gate {gate:?} does not wait: waiting is {}", asked.join(" and "))
                })
            }
        }
    }

    /// The gates that were asked and are not open.
    fn gates(&self) -> impl Iterator<Item = &String> {
        let gates = self.state.progress().map(|progress: &Progress| progress.gates.iter());
        let waits = |(_, state): &(&String, &GateState)| matches!(state, GateState::Asked { .. });
        gates.into_iter().flatten().filter(waits).map(|(name, _)| name)
    }

    /// "step 2 of 5"
    pub(crate) fn step_of(&self, step: usize) -> String {
        let all = u64::try_from(self.plan().steps().len()).unwrap_or(u64::MAX);
        let step = u64::try_from(step).unwrap_or(u64::MAX).saturating_add(1);
        format!("step {} of {}", grouped(step), grouped(all))
    }
}

fn decide_ramping_down(command: &Command) -> Decided {
    match command {
        Command::RollBack | Command::Halt => Ok(Decision::Obey),
        Command::Release => already("nothing is halted"),
        Command::Start
        | Command::Pause
        | Command::Resume
        | Command::SkipStep
        | Command::SetWeight { .. }
        | Command::Promote
        | Command::PromoteFully
        | Command::Restart
        | Command::Approve { .. }
        | Command::Reject { .. } => {
            refuse("the canary is degraded and on its way to zero: roll back to be there at once")
        }
    }
}

fn decide_promoted(command: &Command) -> Decided {
    match command {
        Command::RollBack | Command::Halt => Ok(Decision::Obey),
        Command::Promote | Command::PromoteFully => already("it is promoted"),
        Command::Release => already("nothing is halted"),
        Command::Start | Command::Restart => {
            refuse("the canary serves every call: roll back first, or bring the next release")
        }
        Command::Pause
        | Command::Resume
        | Command::SkipStep
        | Command::SetWeight { .. }
        | Command::Approve { .. }
        | Command::Reject { .. } => refuse("the plan is done"),
    }
}

fn decide_rolled_back(command: &Command) -> Decided {
    match command {
        Command::Start | Command::Restart | Command::Halt => Ok(Decision::Obey),
        Command::RollBack => already("it is rolled back"),
        Command::Release => already("nothing is halted"),
        Command::Pause
        | Command::Resume
        | Command::SkipStep
        | Command::SetWeight { .. }
        | Command::Promote
        | Command::PromoteFully
        | Command::Approve { .. }
        | Command::Reject { .. } => refuse("only a new start raises the weight after a rollback"),
    }
}

fn decide_halted(command: &Command) -> Decided {
    match command {
        Command::Release => Ok(Decision::Obey),
        Command::Halt => already("it is halted"),
        Command::RollBack => already("it is halted, and every call is stable's"),
        Command::Start
        | Command::Pause
        | Command::Resume
        | Command::SkipStep
        | Command::SetWeight { .. }
        | Command::Promote
        | Command::PromoteFully
        | Command::Restart
        | Command::Approve { .. }
        | Command::Reject { .. } => refuse("release the halt, then start"),
    }
}

fn already(text: &str) -> Decided {
    Ok(Decision::Already(text.to_owned()))
}

fn refuse(why: &str) -> Decided {
    Err(why.to_owned())
}
