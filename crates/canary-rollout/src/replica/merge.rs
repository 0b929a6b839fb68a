use super::{
    Moment, Replica,
    job::{Decision, MergeJob, Proposal, join},
    machine::is_in_progress,
};
use crate::{
    action::Transition,
    actor::Actor,
    command::order::{Command, Order},
    event::{Event, EventKind},
    rollout::Rollout,
    state::{
        PauseReason, RollbackReason, StoreLoss,
        phase::{Phase, State},
    },
};

impl Replica {
    pub(super) fn decide_merge(&self, now: Moment, job: &MergeJob) -> Decision {
        let mut after = self.rollout.clone();
        let recovered = match &job.loss {
            Some((loss, ours)) => after.recover(now.at, *loss, ours),
            None => Transition::default(),
        };
        let at = job.repeated.as_ref().map_or(now.at, |event| event.at);
        let ordered = (job.order.as_ref()).and_then(|order| after.command(at, order).ok());
        let ordered = ordered.unwrap_or_default();
        // A state in which the order has no effect does not record its event.
        let repeated = job.repeated.iter().filter(|_| ordered.events.is_empty());
        let recorded = after.record_unsaved(now.at, job.events.iter().chain(repeated).cloned());
        let transition = join(join(recovered, ordered), recorded);
        if transition.actions.is_empty() {
            return Decision::Finish(Ok(transition));
        }
        Decision::Offer(Box::new(Proposal { after, transition }))
    }
}

impl MergeJob {
    /// Merges `ours`, whose `unsaved` events are not stored, into `theirs`, which was stored without
    /// knowing them. Only states that keep the weight low are repeated.
    pub(super) fn of(ours: &Rollout, theirs: &Rollout, unsaved: Vec<Event>) -> Self {
        let is_lost = unsaved.iter().any(|event| !theirs.contains(event));
        // Otherwise the author of their state knew ours.
        let order = is_lost.then(|| order_to_reassert(ours, theirs)).flatten();
        Self::with_order(order, theirs, unsaved)
    }

    /// Merges what `copy` has after its last stored event: a rollback or halt, whose process ended
    /// before it could store it.
    pub(super) fn of_copy(copy: &Rollout, theirs: &Rollout) -> Self {
        let events: Vec<_> = copy.history().cloned().collect();
        // Without a common event, the copy is of another document, or much older.
        match events.iter().rposition(|event| theirs.contains(event)) {
            Some(last) => Self::of(copy, theirs, events[last + 1..].to_vec()),
            None => Self::default(),
        }
    }

    /// Makes `theirs` safe, to which the store has gone back.
    pub(super) fn of_loss(
        loss: StoreLoss,
        ours: Rollout,
        theirs: &Rollout,
        unsaved: Vec<Event>,
    ) -> Self {
        let loss = Some((loss, Box::new(ours)));
        Self { loss, ..Self::with_order(None, theirs, unsaved) }
    }

    fn with_order(order: Option<Order>, theirs: &Rollout, unsaved: Vec<Event>) -> Self {
        let is_new = |event: &Event| !theirs.contains(event);
        let mut events: Vec<_> = unsaved.into_iter().filter(is_new).collect();
        let repeated = order
            .as_ref()
            .and_then(|order| events.iter().rposition(|event| is_of_order(event, order)));
        let repeated = repeated.map(|index| events.remove(index));
        Self { events, order, repeated, loss: None }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.order.is_none() && self.loss.is_none()
    }
}

/// Returns the command that repeats the state of `ours` on `theirs`.
fn order_to_reassert(ours: &Rollout, theirs: &Rollout) -> Option<Order> {
    let is_higher = theirs.weight() > ours.weight();
    let is_live = is_in_progress(theirs.phase()) || theirs.phase() == Phase::Promoted;
    // A later attempt is a new start, which may raise the weight.
    let can_rise = is_live && (is_higher || theirs.attempt() <= ours.attempt());
    let order = |command, by: &Actor, reason: &str| Some(Order::new(command, by.clone(), reason));
    match ours.state() {
        State::Halted { by, reason, .. } if theirs.phase() != Phase::Halted => {
            order(Command::Halt, by, reason)
        }
        State::RolledBack { reason, .. } | State::RampingDown { reason, .. } if can_rise => {
            match reason {
                RollbackReason::Manual { by, reason } => order(Command::RollBack, by, reason),
                other => order(Command::RollBack, &other.actor(), &other.to_string()),
            }
        }
        State::Paused { reason, .. } if is_higher || theirs.phase() == Phase::Running => {
            let (by, reason) = match reason {
                PauseReason::Manual { by, reason } => (by.clone(), reason.clone()),
                other => (Actor::program(CONTROLLER), other.to_string()),
            };
            let weight = ours.weight();
            let command = if is_higher { Command::SetWeight { weight } } else { Command::Pause };
            order(command, &by, &reason)
        }
        _ => None,
    }
}

fn is_of_order(event: &Event, order: &Order) -> bool {
    let is_same_kind = match order.command {
        Command::Halt => event.kind == EventKind::Halted,
        Command::RollBack => {
            matches!(event.kind, EventKind::RolledBack | EventKind::RampDownBegun)
        }
        Command::SetWeight { .. } => event.kind == EventKind::WeightSet,
        Command::Pause => event.kind == EventKind::Paused,
        _ => false,
    };
    is_same_kind && event.by == order.by
}

/// The actor of commands that resolve differences between replicas and the store.
const CONTROLLER: &str = "controller";
