use canary_api::{CanaryView, GateState, Phase, StageKind, StageState};

use crate::{cli::WaitGoal, exit::Exit};

/// The end of a wait, with a sentence about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Reached(String),
    RolledBack(String),
    NeedsPerson(String),
    TimedOut(String),
    Changed(String),
}

impl Outcome {
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::Reached(_) => Exit::Done,
            Self::RolledBack(_) => Exit::RolledBack,
            Self::NeedsPerson(_) => Exit::NeedsPerson,
            Self::TimedOut(_) => Exit::TimedOut,
            Self::Changed(_) => Exit::Refused,
        }
    }

    /// Returns the name for programs.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Reached(_) => "reached",
            Self::RolledBack(_) => "rolled_back",
            Self::NeedsPerson(_) => "needs_person",
            Self::TimedOut(_) => "timed_out",
            Self::Changed(_) => "changed",
        }
    }

    pub(super) fn message(&self) -> &str {
        let (Self::Reached(text)
        | Self::RolledBack(text)
        | Self::NeedsPerson(text)
        | Self::TimedOut(text)
        | Self::Changed(text)) = self;
        text
    }
}

/// Returns the outcome if the canary has reached the goal, or cannot reach it by itself.
pub(super) fn evaluate(goal: WaitGoal, view: &CanaryView) -> Option<Outcome> {
    let text = format!("{} {}: {}", view.name, view.channels.canary.release, view.summary);
    if let Some(outcome) = of_phase(goal, view.phase, &text) {
        return Some(outcome);
    }
    if let WaitGoal::Step(number) = goal
        && step_number(view).is_some_and(|current| current >= number)
    {
        return Some(Outcome::Reached(text));
    }
    if view.phase == Phase::Paused && matches!(goal, WaitGoal::Step(_)) {
        return Some(Outcome::NeedsPerson(text));
    }
    let is_asked =
        |gate: &&canary_api::GateView| gate.state == GateState::Waiting && gate.approvers.is_some();
    let gate = view.gates.iter().find(is_asked)?;
    match goal {
        WaitGoal::Paused => Some(Outcome::Reached(text)),
        WaitGoal::Decided => None,
        WaitGoal::Promoted | WaitGoal::Step(_) => Some(Outcome::NeedsPerson(format!(
            "{text}; to go on: canaryctl approve {} {}",
            view.name, gate.name
        ))),
    }
}

/// Returns the outcome that the phase alone determines.
pub(super) fn of_phase(goal: WaitGoal, phase: Phase, text: &str) -> Option<Outcome> {
    let text = || text.to_owned();
    match (phase, goal) {
        (Phase::RolledBack | Phase::Halted, _) => Some(Outcome::RolledBack(text())),
        (Phase::Promoted, _) => Some(Outcome::Reached(text())),
        (Phase::Paused, WaitGoal::Paused) => Some(Outcome::Reached(text())),
        (Phase::Paused, WaitGoal::Promoted) => Some(Outcome::NeedsPerson(text())),
        // Whether a paused plan has reached the step, its stages tell.
        _ => None,
    }
}

/// Returns the number of the current step, from 1. The bake follows the last step.
fn step_number(view: &CanaryView) -> Option<usize> {
    let current = view.stages.iter().position(|stage| stage.state == StageState::Current);
    if view.phase == Phase::Baking {
        let bake = view.stages.iter().position(|stage| stage.kind == StageKind::Bake);
        return bake.map(|index| index + 1);
    }
    current.map(|index| index + 1)
}
