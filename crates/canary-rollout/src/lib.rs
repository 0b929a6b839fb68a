//! The rollout of a canary release: its plan, and the state machine that runs it.
mod action;
mod actor;
mod command;
mod dry_run;
mod event;
mod history;
mod plan;
mod refusal;
mod rollout;
#[cfg(test)]
mod schema;
mod serialize;
mod span;
mod state;
mod text;
mod tick;
mod timestamp;
mod waits;

pub use self::{
    action::{Action, Answered, Outcome},
    actor::Actor,
    command::{Command, CommandName, Order, UnknownCommand},
    dry_run::{Bound, DryRun, DryRunError, DryStep},
    event::{Event, What},
    plan::*,
    refusal::Refusal,
    rollout::{PlanInUse, Releases, Rollout},
    state::{
        Cause, Deadline, GateState, Pause, Phase, ProbeState, Progress, Stage, State, Warrant,
    },
    tick::{Answer, ProbeOutcome, Tick},
    timestamp::{ParseTimestampError, Timestamp},
    waits::{Wait, Waits},
};
