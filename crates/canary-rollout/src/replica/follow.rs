//! Follows changes by other replicas, which arrive through the store, and by the application, which
//! changes the data plane directly.

use canary_core::Weight;

use super::{
    DataPlane, Mode, Moment, Output, Replica, StoreState,
    job::{Active, Job, MergeJob},
    machine::is_in_progress,
};
use crate::{
    action::Action,
    actor::Actor,
    command::order::{Command, Order},
    lineage::Lineage,
    rollout::{Relation, Rollout},
    state::{GateState, StoreLoss, phase::Phase},
};

impl Replica {
    /// Takes over the stored rollout, and attempts the job again. Changes that were in force here and
    /// are not stored come first.
    pub(super) fn follow_and_retry(
        &mut self,
        now: Moment,
        active: Active,
        stored: Option<Rollout>,
    ) {
        let queued = self.jobs.len();
        self.follow(now, &active, stored);
        if self.jobs.len() == queued {
            self.retry(now, active);
        } else {
            self.jobs.insert(1, active);
        }
    }

    /// Takes over the rollout that another replica has stored, or `None` if the document was removed.
    pub(super) fn follow(&mut self, now: Moment, active: &Active, stored: Option<Rollout>) {
        let loss = self.base.loss(stored.as_ref()).filter(|_| self.base.lineage().is_some());
        let Some(theirs) = stored else {
            return self.store_again(now, loss);
        };
        self.base = theirs.clone();
        if let StoreState::InDoubt { transition, .. } = &self.store
            && transition.events.last().is_some_and(|event| theirs.contains(event))
        {
            self.notify(&transition.clone());
        }
        let is_dirty = matches!(self.store, StoreState::Dirty { .. });
        if is_dirty && loss.is_none() && self.rollout.descends_from(&theirs) {
            // A response was lost, or another replica has saved the elapsed time. The rollout in
            // force has all events of the document, and replaces it.
            self.rollout.raise_generation(&theirs);
            return;
        }
        self.store = StoreState::InSync;
        let unsaved = std::mem::take(&mut self.unsaved);
        let ours = std::mem::replace(&mut self.rollout, theirs);
        self.outputs.push(Output::InForce);
        self.begin_evidence(now, &ours);
        self.emit_stored();
        let keeps_weight = self.rollout.weight() > ours.weight();
        let merge = match loss {
            _ if self.relation() != Relation::Same => MergeJob::default(),
            Some(loss) => MergeJob::of_loss(loss, ours, &self.rollout, unsaved),
            None if is_dirty => MergeJob::of(&ours, &self.rollout, unsaved),
            None => MergeJob::default(),
        };
        let keeps_weight = keeps_weight && (merge.order.is_some() || merge.loss.is_some());
        if !merge.is_empty() {
            self.jobs.push_front(Job::Merge(merge).into());
        }
        if keeps_weight {
            self.outputs.push(Output::Enforce(Vec::new()));
        } else if active.is_lowered {
            self.enforces_later = true;
        } else {
            self.enforce();
        }
    }

    /// Stores the rollout in force again, after its document was removed.
    fn store_again(&mut self, now: Moment, loss: Option<StoreLoss>) {
        let since = self.store.failing_since().unwrap_or(now.uptime);
        self.store = StoreState::Dirty { since };
        if let Some(loss) = loss {
            let ours = self.rollout.clone();
            let lineage = Lineage::from_random(now.random);
            self.rollout = ours.clone().with_lineage(lineage);
            self.outputs.push(Output::InForce);
            self.begin_evidence(now, &ours);
            let merge = MergeJob::of_loss(loss, ours, &self.rollout, Vec::new());
            self.jobs.push_front(Job::Merge(merge).into());
        }
    }

    /// Begins the evidence of another attempt or step than that of `ours`. A document of another
    /// lineage has evidence of its own: an attempt of the same number may have begun there.
    fn begin_evidence(&mut self, now: Moment, ours: &Rollout) {
        let theirs = &self.rollout;
        let is_other = theirs.attempt() != ours.attempt() || theirs.releases() != ours.releases();
        let is_replaced = is_in_progress(theirs.phase())
            && ours.lineage().is_some()
            && theirs.lineage() != ours.lineage();
        if is_other {
            self.seat.leave_to_starter(now.uptime);
        }
        if is_other || is_replaced || theirs.sticky_secret() != ours.sticky_secret() {
            let salt = theirs.salt();
            self.outputs.push(Output::Apply(vec![Action::BeginEvidence { salt }]));
        } else if theirs.state().stage() != ours.state().stage() {
            let mut actions = vec![Action::BeginStep];
            if self.is_driving() {
                actions.extend(open_questions(theirs));
            }
            self.outputs.push(Output::Apply(actions));
        }
    }

    /// Sets the data plane to the state of the rollout.
    pub(super) fn enforce(&mut self) {
        self.enforces_later = false;
        let actions = match self.relation() {
            Relation::Same => self.rollout.in_force(),
            // The data plane may still be halted by a command or an earlier rollout.
            Relation::Promoted if !self.is_lowered_directly => {
                vec![Action::LiftHalt, Action::Promote]
            }
            // A halt applies to all builds.
            _ if self.rollout.phase() == Phase::Halted => self.rollout.in_force(),
            _ if self.is_lowered_directly => vec![Action::RollBack],
            _ => vec![Action::LiftHalt, Action::RollBack],
        };
        self.outputs.push(Output::Enforce(actions));
    }

    /// Turns direct changes of the data plane into commands if they lower the weight, and undoes them
    /// if they raise it.
    pub(super) fn reconcile(&mut self, observed: &DataPlane) {
        if !self.is_loaded() {
            return;
        }
        let DataPlane { weight, applied, mode } = observed;
        if self.relation() != Relation::Same {
            if weight < applied {
                self.is_lowered_directly = true;
            } else if weight > applied {
                self.enforce();
            }
            return;
        }
        let phase = self.rollout.phase();
        let mut enqueue = |command, reason: &str| {
            let order = Order::new(command, Actor::program(APPLICATION), reason);
            self.jobs.push_back(Job::order(order).into());
        };
        if let Mode::Halted { reason } = mode {
            if phase != Phase::Halted {
                enqueue(Command::Halt, reason);
            }
            return;
        }
        let is_promoted = *mode == Mode::Promoted;
        let expects_promotion = phase == Phase::Promoted && *applied == Weight::FULL;
        if weight < applied {
            let command = Command::SetWeight { weight: *weight };
            if *weight == Weight::ZERO {
                enqueue(Command::RollBack, "rolled back by the application");
            } else if self.rollout.refusal(&command).is_none() {
                enqueue(command, "lowered by the application");
            } else {
                // A rollout that has ended has no intermediate weights.
                enqueue(Command::RollBack, "lowered by the application");
            }
        } else if weight > applied || phase == Phase::Halted || is_promoted != expects_promotion {
            self.outputs.push(Output::Warn(format!(
                "the application set the weight to {weight}, which is undone: use \
                 `RolloutHandle::set_weight`"
            )));
            self.enforce();
        }
    }
}

/// Returns the probes and gates that the replica that entered the stage has left to the driver.
fn open_questions(rollout: &Rollout) -> Vec<Action> {
    let Some(progress) = rollout.state().progress() else { return Vec::new() };
    let is_open = |state: &GateState| matches!(state, GateState::Asked { since_ask, .. } if since_ask.is_zero());
    let probes = progress.probes.iter().filter(|(_, state)| state.since_run.is_zero());
    let gates = progress.gates.iter().filter(|(_, state)| is_open(state));
    (probes.map(|(name, _)| Action::RunProbe(name.clone())))
        .chain(gates.map(|(name, _)| Action::AskGate(name.clone())))
        .collect()
}

/// The actor of changes that the application makes on the data plane directly.
const APPLICATION: &str = "application";
