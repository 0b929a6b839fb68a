use super::CommandId;
use crate::{
    action::{Action, Transition},
    actor::Actor,
    command::order::{Command, Order},
    event::{Event, EventId},
    plan::definition::Plan,
    rollout::Rollout,
    state::{Stage, StoreLoss},
    tick::input::Tick,
};

/// A unit of work. A replica works on one at a time.
#[derive(Clone, Debug)]
pub(super) enum Job {
    Tick(TickJob),
    Command(CommandJob),
    Plan(PlanJob),
    /// Set the releases and the plan of the rollout to those of this build.
    Deploy,
    /// Add changes that were in force here to a rollout that another replica has stored.
    Merge(MergeJob),
    /// Load the rollout after a hint of a watch.
    Reload,
    /// Save the evidence.
    Beat,
    /// Save the rollout for the next process.
    Stop,
}

#[derive(Clone, Debug)]
pub(super) struct TickJob {
    pub(super) tick: Tick,
    pub(super) trip: Option<String>,
    /// The attempt and the stage that the observations belong to.
    pub(super) observed: Option<(u64, Option<Stage>)>,
}

#[derive(Clone, Debug)]
pub(super) struct CommandJob {
    /// `None` for a command of the replica itself.
    pub(super) id: Option<CommandId>,
    pub(super) order: Order,
    pub(super) seen: Option<EventId>,
    pub(super) is_answered: bool,
}

#[derive(Clone, Debug)]
pub(super) struct PlanJob {
    pub(super) id: CommandId,
    pub(super) plan: Box<Plan>,
    pub(super) by: Actor,
    pub(super) reason: String,
    pub(super) seen: Option<EventId>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct MergeJob {
    pub(super) events: Vec<Event>,
    pub(super) order: Option<Order>,
    /// The event that the order records again.
    pub(super) repeated: Option<Event>,
    /// What the store has lost, and the rollout that was in force here.
    pub(super) loss: Option<(StoreLoss, Box<Rollout>)>,
}

/// A job in progress.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) job: Job,
    pub(super) proposal: Option<Proposal>,
    pub(super) attempts: usize,
    /// Whether the job has lowered the weight of the data plane.
    pub(super) is_lowered: bool,
    /// Whether the job has tried to load the stored rollout.
    pub(super) is_loaded: bool,
    /// Whether to save the rollout even if it does not change, so that saves of the previous driver
    /// conflict.
    pub(super) is_fencing: bool,
}

/// A rollout that the replica wants to put into force.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Proposal {
    pub(super) after: Rollout,
    pub(super) transition: Transition,
}

/// What to do for a job.
pub(super) enum Decision {
    Offer(Box<Proposal>),
    /// Become the driver first.
    Claim,
    Finish(Result<Transition, super::CommandFailure>),
}

impl Job {
    /// A command of the replica itself.
    pub(super) const fn order(order: Order) -> Self {
        Self::Command(CommandJob { id: None, order, seen: None, is_answered: true })
    }
}

impl From<Job> for Active {
    fn from(job: Job) -> Self {
        Self {
            job,
            proposal: None,
            attempts: 0,
            is_lowered: false,
            is_loaded: false,
            is_fencing: false,
        }
    }
}

impl Proposal {
    /// A save of the rollout as it is.
    pub(super) fn unchanged(rollout: &Rollout) -> Self {
        Self { after: rollout.clone(), transition: Transition::default() }
    }

    /// Returns the actions before and after the save.
    pub(super) fn split(&self) -> (&[Action], &[Action]) {
        let actions = &self.transition.actions;
        match actions.iter().position(|action| *action == Action::Save) {
            Some(save) => (&actions[..save], &actions[save + 1..]),
            None => (&[], actions),
        }
    }

    pub(super) fn saves(&self) -> bool {
        self.transition.actions.contains(&Action::Save)
    }

    /// Returns whether it comes into force only after it is stored.
    pub(super) fn needs_store(&self) -> bool {
        self.split().1.iter().any(|action| {
            matches!(
                action,
                Action::SetWeight(_)
                    | Action::Promote
                    | Action::LiftHalt
                    | Action::BeginEvidence { .. }
                    | Action::SetVariables(_)
            )
        })
    }
}

/// Adds the actions and events of `next` to those of `first`, with one save.
pub(super) fn join(first: Transition, next: Transition) -> Transition {
    let mut actions = Vec::new();
    let (mut after, mut saves) = (Vec::new(), false);
    for transition in [&first, &next] {
        let proposal = transition.actions.iter().position(|it| *it == Action::Save);
        let at = proposal.unwrap_or(0);
        actions.extend_from_slice(&transition.actions[..at]);
        let rest = &transition.actions[at..];
        after.extend(rest.iter().filter(|it| **it != Action::Save).cloned());
        saves |= proposal.is_some();
    }
    if saves {
        actions.push(Action::Save);
    }
    actions.extend(after);
    let events = [first.events, next.events].concat();
    Transition { actions, events, note: next.note.or(first.note) }
}

/// Returns whether a command takes effect before it is stored, whatever its author has seen.
pub(super) const fn is_immediate(command: &Command) -> bool {
    matches!(command, Command::RollBack | Command::Halt)
}
