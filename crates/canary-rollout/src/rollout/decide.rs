//! Decides which command is allowed in which state. No other code decides this.

use std::fmt;

use canary_core::Weight;

use super::Rollout;
use crate::{
    command::{CommandName, Refusal, RefusalReason, order::Command},
    state::{GateState, PauseReason, Progress, Stage, phase::State},
    text::grouped,
    variables::VariablePatches,
};

/// The effect of a command in the current state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Decision {
    Apply,
    NoOp(NoOpReason),
    Refuse(RefusalReason),
}

/// The reason why a command changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoOpReason {
    NotRunning,
    AlreadyStarted,
    AlreadyRunning,
    NotPaused,
    AlreadyPaused,
    AlreadyBaking,
    AlreadyPromoted,
    AlreadyRolledBack,
    AlreadyHalted,
    RolledBackByHalt,
    NotHalted,
    GateOpen,
    VariablesUnchanged,
    ByHand,
}

impl fmt::Display for NoOpReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRunning => "no rollout is running, and stable serves every call",
            Self::AlreadyStarted => "the rollout has already started",
            Self::AlreadyRunning => "the rollout is already running",
            Self::NotPaused => "the rollout is not paused",
            Self::AlreadyPaused => "the rollout is already paused",
            Self::AlreadyBaking => "the bake is running: promote-fully ends it",
            Self::AlreadyPromoted => "the canary is already promoted",
            Self::AlreadyRolledBack => "the rollout is already rolled back",
            Self::AlreadyHalted => "the rollout is already halted",
            Self::RolledBackByHalt => "the rollout is halted, and stable serves every call",
            Self::NotHalted => "the rollout is not halted",
            Self::GateOpen => "the gate is already open",
            Self::ByHand => "the weight changes only by hand",
            Self::VariablesUnchanged => "the variables already have these values",
        })
    }
}

impl Rollout {
    /// Returns the commands that are allowed now and have an effect. A user interface can use it to
    /// enable buttons.
    ///
    /// ```
    /// use canary_rollout::{Releases, Rollout, command::CommandName, plan::Preset};
    ///
    /// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
    /// let rollout = Rollout::new("checkout".parse()?, releases, Preset::all()[0].plan());
    /// assert_eq!(
    ///     rollout.allowed(),
    ///     [CommandName::Start, CommandName::SetWeight, CommandName::Halt, CommandName::SetVariables],
    /// );
    /// # Ok::<(), canary_core::InvalidName>(())
    /// ```
    #[must_use]
    pub fn allowed(&self) -> Vec<CommandName> {
        let is_allowed = |name: &CommandName| {
            // Some variable can be changed in every state.
            *name == CommandName::SetVariables
                || self.samples(*name).iter().any(|it| self.decide(it) == Decision::Apply)
        };
        CommandName::ALL.into_iter().filter(is_allowed).collect()
    }

    /// Returns the names of the gates that wait for an answer.
    pub fn waiting_gates(&self) -> impl Iterator<Item = &str> {
        let gates = self.state.progress().map(|progress: &Progress| progress.gates.iter());
        let waits = |(_, state): &(&String, &GateState)| matches!(state, GateState::Asked { .. });
        gates.into_iter().flatten().filter(waits).map(|(name, _)| name.as_str())
    }

    /// Returns commands of this name, of which one is allowed if any is.
    fn samples(&self, name: CommandName) -> Vec<Command> {
        let of_gates = |command: fn(String) -> Command| {
            self.waiting_gates().map(|gate| command(gate.to_owned())).collect()
        };
        let command = match name {
            CommandName::Start => Command::Start,
            CommandName::Pause => Command::Pause,
            CommandName::Resume => Command::Resume,
            CommandName::SkipStep => Command::SkipStep,
            // If any weight is allowed, zero is.
            CommandName::SetWeight => Command::SetWeight { weight: Weight::ZERO },
            CommandName::Promote => Command::Promote,
            CommandName::PromoteFully => Command::PromoteFully,
            CommandName::RollBack => Command::RollBack,
            CommandName::Halt => Command::Halt,
            CommandName::LiftHalt => Command::LiftHalt,
            CommandName::Restart => Command::Restart,
            CommandName::Approve => return of_gates(|gate| Command::Approve { gate }),
            CommandName::Reject => return of_gates(|gate| Command::Reject { gate }),
            CommandName::SetVariables => return Vec::new(),
        };
        vec![command]
    }

    /// Returns the refusal that the command would get now, or `None` if it is allowed or has no
    /// effect.
    #[must_use]
    pub fn refusal(&self, command: &Command) -> Option<Refusal> {
        match self.decide(command) {
            Decision::Refuse(reason) => Some(self.refuse(command, reason)),
            Decision::Apply | Decision::NoOp(_) => None,
        }
    }

    pub(super) fn refuse(&self, command: &Command, reason: RefusalReason) -> Refusal {
        let (command, phase, allowed) = (command.name(), self.phase(), self.allowed());
        Refusal { command, phase, reason, allowed }
    }

    pub(super) fn decide(&self, command: &Command) -> Decision {
        match &self.state {
            State::Idle => self.decide_idle(command),
            State::Starting { .. } => self.decide_starting(command),
            State::Running { step, .. } => self.decide_running(*step, command),
            State::Paused { stage, reason, .. } => self.decide_paused(stage, reason, command),
            State::RampingDown { .. } => self.decide_ramping_down(command),
            State::Baking { .. } => self.decide_baking(command),
            State::Promoted { .. } => self.decide_promoted(command),
            State::RolledBack { .. } => self.decide_rolled_back(command),
            State::Halted { .. } => self.decide_halted(command),
        }
    }

    fn decide_idle(&self, command: &Command) -> Decision {
        match command {
            Command::Start | Command::Halt => Decision::Apply,
            Command::SetWeight { weight } => self.decide_weight(*weight),
            Command::SetVariables(patches) => self.decide_variables(patches),
            Command::RollBack => Decision::NoOp(NoOpReason::NotRunning),
            Command::LiftHalt => Decision::NoOp(NoOpReason::NotHalted),
            Command::Pause
            | Command::Resume
            | Command::SkipStep
            | Command::Promote
            | Command::PromoteFully
            | Command::Restart
            | Command::Approve { .. }
            | Command::Reject { .. } => Decision::Refuse(RefusalReason::NotStarted),
        }
    }

    fn decide_starting(&self, command: &Command) -> Decision {
        match command {
            Command::Pause
            | Command::SkipStep
            | Command::Promote
            | Command::PromoteFully
            | Command::RollBack
            | Command::Halt
            | Command::Restart => Decision::Apply,
            Command::SetWeight { weight } => self.decide_weight(*weight),
            Command::SetVariables(patches) => self.decide_variables(patches),
            Command::Approve { gate } | Command::Reject { gate } => self.decide_gate(gate, command),
            Command::Start => Decision::NoOp(NoOpReason::AlreadyStarted),
            Command::Resume => Decision::NoOp(NoOpReason::NotPaused),
            Command::LiftHalt => Decision::NoOp(NoOpReason::NotHalted),
        }
    }

    fn decide_running(&self, step: usize, command: &Command) -> Decision {
        match command {
            Command::SkipStep if step + 1 == self.plan().steps().len() => {
                Decision::Refuse(RefusalReason::LastStep)
            }
            // Like a promotion by hand.
            Command::SkipStep
                if self.weight < Weight::FULL
                    && self.weight_of(&Stage::Step { step: step + 1 }) == Weight::FULL =>
            {
                Decision::Refuse(RefusalReason::FullWeight)
            }
            Command::Pause
            | Command::SkipStep
            | Command::Promote
            | Command::PromoteFully
            | Command::RollBack
            | Command::Halt
            | Command::Restart => Decision::Apply,
            Command::SetWeight { weight } => self.decide_weight(*weight),
            Command::SetVariables(patches) => self.decide_variables(patches),
            Command::Approve { gate } | Command::Reject { gate } => self.decide_gate(gate, command),
            Command::Start => Decision::NoOp(NoOpReason::AlreadyRunning),
            Command::Resume => Decision::NoOp(NoOpReason::NotPaused),
            Command::LiftHalt => Decision::NoOp(NoOpReason::NotHalted),
        }
    }

    fn decide_paused(&self, stage: &Stage, reason: &PauseReason, command: &Command) -> Decision {
        let is_frozen = matches!(reason, PauseReason::Degraded(_));
        let is_by_hand = self.plan().is_by_hand();
        match command {
            Command::Resume | Command::SkipStep if is_by_hand => {
                Decision::Refuse(RefusalReason::ByHand)
            }
            Command::Start if is_by_hand => Decision::NoOp(NoOpReason::AlreadyStarted),
            Command::Pause if is_by_hand => Decision::NoOp(NoOpReason::ByHand),
            Command::Resume if is_frozen => Decision::Refuse(RefusalReason::Frozen),
            Command::Resume if *reason == PauseReason::Maximum => {
                Decision::Refuse(RefusalReason::ManualPromotionOnly)
            }
            Command::Promote if is_frozen => Decision::Refuse(RefusalReason::FrozenBeforeBake),
            Command::Promote if matches!(stage, Stage::Bake { .. }) => {
                Decision::Refuse(RefusalReason::BakePaused)
            }
            Command::SetWeight { weight } if is_frozen && *weight > self.weight => {
                Decision::Refuse(RefusalReason::FrozenWeight)
            }
            Command::SetWeight { weight } => self.decide_weight(*weight),
            Command::SetVariables(patches) => self.decide_variables(patches),
            Command::Resume
            | Command::Promote
            | Command::PromoteFully
            | Command::RollBack
            | Command::Halt
            | Command::Restart => Decision::Apply,
            Command::Approve { gate } | Command::Reject { gate } => self.decide_gate(gate, command),
            Command::SkipStep => Decision::Refuse(RefusalReason::Paused),
            Command::Start => Decision::Refuse(RefusalReason::AlreadyStarted),
            Command::Pause => Decision::NoOp(NoOpReason::AlreadyPaused),
            Command::LiftHalt => Decision::NoOp(NoOpReason::NotHalted),
        }
    }

    fn decide_baking(&self, command: &Command) -> Decision {
        match command {
            Command::Pause
            | Command::PromoteFully
            | Command::RollBack
            | Command::Halt
            | Command::Restart => Decision::Apply,
            Command::SetWeight { weight } => self.decide_weight(*weight),
            Command::SetVariables(patches) => self.decide_variables(patches),
            Command::SkipStep => Decision::Refuse(RefusalReason::Baking),
            Command::Approve { .. } | Command::Reject { .. } => {
                Decision::Refuse(RefusalReason::NoGatesInBake)
            }
            Command::Start => Decision::NoOp(NoOpReason::AlreadyRunning),
            Command::Promote => Decision::NoOp(NoOpReason::AlreadyBaking),
            Command::Resume => Decision::NoOp(NoOpReason::NotPaused),
            Command::LiftHalt => Decision::NoOp(NoOpReason::NotHalted),
        }
    }

    fn decide_ramping_down(&self, command: &Command) -> Decision {
        match command {
            Command::RollBack | Command::Halt => Decision::Apply,
            Command::SetVariables(patches) => self.decide_variables(patches),
            Command::LiftHalt => Decision::NoOp(NoOpReason::NotHalted),
            Command::Start
            | Command::Pause
            | Command::Resume
            | Command::SkipStep
            | Command::SetWeight { .. }
            | Command::Promote
            | Command::PromoteFully
            | Command::Restart
            | Command::Approve { .. }
            | Command::Reject { .. } => Decision::Refuse(RefusalReason::RampingDown),
        }
    }

    fn decide_promoted(&self, command: &Command) -> Decision {
        match command {
            Command::RollBack | Command::Halt => Decision::Apply,
            Command::SetVariables(patches) => self.decide_variables(patches),
            Command::Promote | Command::PromoteFully => Decision::NoOp(NoOpReason::AlreadyPromoted),
            Command::LiftHalt => Decision::NoOp(NoOpReason::NotHalted),
            Command::Start | Command::Restart => Decision::Refuse(RefusalReason::Promoted),
            Command::Pause
            | Command::Resume
            | Command::SkipStep
            | Command::SetWeight { .. }
            | Command::Approve { .. }
            | Command::Reject { .. } => Decision::Refuse(RefusalReason::Finished),
        }
    }

    fn decide_rolled_back(&self, command: &Command) -> Decision {
        match command {
            Command::Start | Command::Restart | Command::Halt => Decision::Apply,
            Command::SetVariables(patches) => self.decide_variables(patches),
            Command::RollBack => Decision::NoOp(NoOpReason::AlreadyRolledBack),
            Command::LiftHalt => Decision::NoOp(NoOpReason::NotHalted),
            Command::Pause
            | Command::Resume
            | Command::SkipStep
            | Command::SetWeight { .. }
            | Command::Promote
            | Command::PromoteFully
            | Command::Approve { .. }
            | Command::Reject { .. } => Decision::Refuse(RefusalReason::RolledBack),
        }
    }

    fn decide_halted(&self, command: &Command) -> Decision {
        match command {
            Command::LiftHalt => Decision::Apply,
            Command::SetVariables(patches) => self.decide_variables(patches),
            Command::Halt => Decision::NoOp(NoOpReason::AlreadyHalted),
            Command::RollBack => Decision::NoOp(NoOpReason::RolledBackByHalt),
            Command::Start
            | Command::Pause
            | Command::Resume
            | Command::SkipStep
            | Command::SetWeight { .. }
            | Command::Promote
            | Command::PromoteFully
            | Command::Restart
            | Command::Approve { .. }
            | Command::Reject { .. } => Decision::Refuse(RefusalReason::Halted),
        }
    }

    fn decide_weight(&self, weight: Weight) -> Decision {
        let maximum = match self.state.stage() {
            // A raise would take calls from the holdback, which the bake compares with.
            Some(stage @ Stage::Bake { .. }) => self.weight_of(&stage),
            _ => self.plan().max_weight(),
        };
        if weight == Weight::FULL && self.plan().max_weight() == Weight::FULL {
            Decision::Refuse(RefusalReason::FullWeight)
        } else if weight > maximum {
            Decision::Refuse(RefusalReason::AboveMaximum { weight, maximum })
        } else {
            Decision::Apply
        }
    }

    fn decide_variables(&self, patches: &VariablePatches) -> Decision {
        match self.variables_after(patches) {
            Ok(after) if after == self.variables => Decision::NoOp(NoOpReason::VariablesUnchanged),
            Ok(_) => Decision::Apply,
            Err(reason) => Decision::Refuse(reason),
        }
    }

    fn decide_gate(&self, gate: &str, command: &Command) -> Decision {
        let state = self.state.progress().and_then(|progress| progress.gates.get(gate));
        match state {
            Some(GateState::Asked { .. }) => Decision::Apply,
            Some(GateState::Open { .. }) if command.name() == CommandName::Approve => {
                Decision::NoOp(NoOpReason::GateOpen)
            }
            Some(GateState::Open { .. }) => Decision::Refuse(RefusalReason::GateOpen),
            None => Decision::Refuse(RefusalReason::GateNotWaiting {
                gate: gate.to_owned(),
                waiting: self.waiting_gates().map(str::to_owned).collect(),
            }),
        }
    }

    /// Formats a step's index as "step 2 of 5".
    pub(crate) fn step_of(&self, step: usize) -> String {
        let all = u64::try_from(self.plan().steps().len()).unwrap_or(u64::MAX);
        let step = u64::try_from(step).unwrap_or(u64::MAX).saturating_add(1);
        format!("step {} of {}", grouped(step), grouped(all))
    }
}
