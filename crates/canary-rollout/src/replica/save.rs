use super::{
    CommandFailure, EvidenceOrder, Moment, Output, Replica, StoreState, Swapped,
    job::{Active, Job, Proposal},
    machine::{MAX_ATTEMPTS, not_stored_yet},
};
use crate::{
    action::{Action, Transition},
    lineage::Lineage,
    rollout::Relation,
};

impl Replica {
    /// Carries out the actions that lower the weight, and asks the store to save the rollout.
    pub(super) fn offer(&mut self, now: Moment, mut active: Active, proposal: Proposal) {
        let before = proposal.split().0;
        if !before.is_empty() {
            let actions = self.actions_here(&proposal, before);
            self.outputs.push(Output::Lower(actions));
            active.is_lowered = true;
        }
        if self.store != StoreState::InSync && !active.is_loaded {
            active.proposal = Some(proposal);
            return self.wait(active, Output::Load);
        }
        if !proposal.saves() && !self.must_save(&active) {
            let transition = proposal.transition.clone();
            self.put_in_force(proposal);
            return self.finish(now, active, Ok(transition));
        }
        let evidence = match (self.is_driving(), active.is_lowered) {
            (false, _) => EvidenceOrder::Never,
            (true, false) => EvidenceOrder::Before,
            (true, true) => EvidenceOrder::After,
        };
        if evidence != EvidenceOrder::Never {
            self.seat.take(now.uptime);
        }
        let mut proposal = proposal;
        if proposal.after.lineage().is_none() {
            proposal.after = proposal.after.with_lineage(Lineage::from_random(now.random));
        }
        let rollout = Box::new(proposal.after.clone());
        active.proposal = Some(proposal);
        self.wait(active, Output::Swap { rollout, evidence });
    }

    /// Returns whether a job saves the rollout even if it does not change it.
    fn must_save(&self, active: &Active) -> bool {
        let is_tick = matches!(active.job, Job::Tick(_));
        active.is_fencing || is_tick && self.store.failing_since().is_some()
    }

    pub(super) fn swapped(&mut self, now: Moment, mut active: Active, result: Swapped) {
        let Some(proposal) = active.proposal.take() else { return };
        let transition = proposal.transition.clone();
        match result {
            Swapped::Saved => {
                let was_failing = self.store.failing_since().is_some();
                self.store = StoreState::InSync;
                self.base = proposal.after.clone();
                self.unsaved.clear();
                let is_start = is_start(&transition);
                self.put_in_force(proposal);
                self.emit_stored();
                if was_failing || self.relation() != Relation::Same {
                    self.enforces_later = true;
                }
                if is_start {
                    self.jobs.push_front(Job::Beat.into());
                }
                self.finish(now, active, Ok(transition));
            }
            Swapped::Replaced(theirs) => {
                self.notify(&transition);
                self.follow(now, &active, Some(*theirs));
                self.finish(now, active, Ok(transition));
            }
            Swapped::Conflict(theirs) => {
                self.follow_and_retry(now, active, theirs.map(|theirs| *theirs));
            }
            Swapped::Deposed(holder) => {
                self.seat.seen(holder, now.uptime);
                if !self.seat.is_mine() {
                    self.outputs.push(Output::ResumeEvidence);
                }
                self.retry(now, active);
            }
            Swapped::Unknown(reason) if proposal.needs_store() => {
                let since = self.store.failing_since().unwrap_or(now.uptime);
                let doubtful = Box::new(transition);
                self.store = StoreState::InDoubt { since, transition: doubtful };
                self.finish(now, active, Err(CommandFailure::Unknown(reason)));
            }
            Swapped::Failed(reason) | Swapped::Unknown(reason) => {
                active.proposal = Some(proposal);
                self.fail(now, active, reason);
            }
        }
    }

    /// Ends a job whose rollout could not be saved. The rollout comes into force nevertheless, unless it
    /// needs the store, or changes the releases or the plan.
    pub(super) fn fail(&mut self, now: Moment, mut active: Active, reason: String) {
        let Some(proposal) = active.proposal.take() else {
            return self.finish(now, active, Ok(Transition::default()));
        };
        let saves = proposal.saves() || self.must_save(&active);
        if saves && self.store.failing_since().is_none() {
            self.store = StoreState::Dirty { since: now.uptime };
        }
        if proposal.needs_store() || matches!(active.job, Job::Deploy | Job::Plan(_)) {
            self.enforces_later = true;
            return self.finish(now, active, Err(CommandFailure::NotStored(reason)));
        }
        if saves && let StoreState::InDoubt { since, .. } = self.store {
            self.store = StoreState::Dirty { since };
        }
        self.unsaved.extend(proposal.transition.events.iter().cloned());
        let transition = proposal.transition.clone();
        self.put_in_force(proposal);
        self.finish(now, active, Ok(not_stored_yet(transition, &reason)));
    }

    /// Attempts a job again with the rollout that is in force now.
    pub(super) fn retry(&mut self, now: Moment, mut active: Active) {
        active.attempts += 1;
        if active.attempts == MAX_ATTEMPTS {
            return self.finish(now, active, Err(CommandFailure::Contended));
        }
        self.attempt(now, active);
    }

    fn put_in_force(&mut self, proposal: Proposal) {
        let after = proposal.split().1;
        let actions = self.actions_here(&proposal, after);
        // After a loss of the store, the attempt has the number of an earlier one, or a higher one.
        let is_other = self.rollout.releases() != proposal.after.releases()
            || self.rollout.attempt() != proposal.after.attempt();
        self.rollout = proposal.after;
        self.outputs.push(Output::InForce);
        self.outputs.extend(proposal.transition.events.iter().cloned().map(Output::Audit));
        if is_other && !is_start(&proposal.transition) {
            let salt = self.rollout.salt();
            self.outputs.push(Output::Apply(vec![Action::BeginEvidence { salt }]));
        }
        if !actions.is_empty() {
            self.outputs.push(Output::Apply(actions));
        }
    }

    /// Returns the actions that concern this replica. Those of the canary do so only if the rollout is
    /// for this build. Only a start, and ticks of the driver, run probes and ask gates.
    fn actions_here(&self, proposal: &Proposal, actions: &[Action]) -> Vec<Action> {
        let is_same = proposal.after.relation(&self.build.releases) == Relation::Same;
        let concerns = |action: &&Action| match action {
            Action::SetWeight(_)
            | Action::Promote
            | Action::RollBack
            | Action::Halt(_)
            | Action::LiftHalt
            | Action::SetVariables(_)
            | Action::BeginEvidence { .. }
            | Action::BeginStep
            | Action::RunProbe(_)
            | Action::AskGate(_) => is_same,
            Action::Save | Action::Notify { .. } => true,
        };
        actions.iter().filter(concerns).cloned().collect()
    }

    /// Logs the events of a transition that another replica has built upon, and sends the
    /// notifications.
    pub(super) fn notify(&mut self, transition: &Transition) {
        self.outputs.extend(transition.events.iter().cloned().map(Output::Audit));
        let is_notify = |action: &&Action| matches!(action, Action::Notify { .. });
        let actions: Vec<_> = transition.actions.iter().filter(is_notify).cloned().collect();
        if !actions.is_empty() {
            self.outputs.push(Output::Apply(actions));
        }
    }

    /// Emits the events of the stored rollout that were not emitted yet.
    pub(super) fn emit_stored(&mut self) {
        let latest = self.rollout.latest_number();
        self.emitted = self.emitted.min(latest);
        let new = self.rollout.history().filter(|event| event.number > self.emitted);
        self.outputs.extend(new.cloned().map(Output::Emit));
        self.emitted = latest;
    }
}

fn is_start(transition: &Transition) -> bool {
    transition.actions.iter().any(|action| matches!(action, Action::BeginEvidence { .. }))
}
