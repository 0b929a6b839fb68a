use canary_core::Verdict;

use super::{
    Moment, Output, Replica, StoreState,
    job::{Decision, Job, Proposal, TickJob},
    machine::is_in_progress,
};
use crate::{
    actor::Actor,
    command::order::{Command, Order},
    plan::OnDegraded,
    rollout::Relation,
    state::phase::Phase,
    tick::input::Tick,
};

impl Replica {
    pub(super) fn decide_tick(&mut self, now: Moment, job: &mut TickJob) -> Decision {
        if self.relation() != Relation::Same {
            if job.trip.is_some() {
                self.outputs.push(Output::AcknowledgeTrip);
            }
            if self.may_deploy(now) {
                self.jobs.push_front(Job::Deploy.into());
            }
            return self.decide_tick_of_follower();
        }
        let current = (self.rollout.attempt(), self.rollout.state().stage());
        match &job.observed {
            None => {
                job.observed = Some(current);
                let leftover = std::mem::take(&mut self.leftover);
                job.tick.calls = job.tick.calls.saturating_add(leftover.calls);
                job.tick.probes.splice(0..0, leftover.probes);
                job.tick.answers.splice(0..0, leftover.answers);
            }
            Some((attempt, _)) if *attempt != current.0 => {
                return Decision::Finish(Ok(Default::default()));
            }
            Some((_, stage)) if *stage != current.1 => {
                job.tick.probes.clear();
                job.tick.answers.clear();
            }
            Some(_) => {}
        }
        let phase = self.rollout.phase();
        if let Some(finding) = &job.trip
            && !is_judged(phase)
        {
            self.outputs.push(Output::AcknowledgeTrip);
            let on_degraded = self.rollout.plan().on_degraded();
            let acts = !matches!(on_degraded, OnDegraded::Freeze | OnDegraded::Report);
            if phase == Phase::Promoted && acts {
                let order = Order::new(Command::RollBack, Actor::Judge, finding);
                self.jobs.push_front(Job::order(order).into());
            }
            return Decision::Finish(Ok(Default::default()));
        }
        let mut tick = job.tick.clone();
        if let Some(finding) = &job.trip {
            // A trip counts even if the judge has since found the canary healthy.
            tick = Tick { verdict: Verdict::Degraded, evidence: finding.clone(), ..tick };
        }
        if is_in_progress(phase) && !self.seat.is_mine() {
            if self.seat.is_free(now.uptime) {
                return Decision::Claim;
            }
            match &job.trip {
                Some(finding) => tick = Tick::new(Verdict::Degraded, finding),
                None => return self.decide_tick_of_follower(),
            }
        }
        let mut after = self.rollout.clone();
        let transition = after.tick(now.at, &tick);
        Decision::Offer(Box::new(Proposal { after, transition }))
    }

    /// A replica that has just become the driver saves the rollout as it is. Its own calls since the
    /// silence of the previous driver are not observed yet, so the passed time must not count either:
    /// the next tick counts both.
    pub(super) fn decide_first_tick(&mut self, job: &TickJob) -> Decision {
        self.leftover = Tick { verdict: Verdict::Inconclusive, ..job.tick.clone() };
        Decision::Offer(Box::new(Proposal::unchanged(&self.rollout)))
    }

    /// A replica that does not drive only saves what it could not save before, and loads what others
    /// have saved.
    fn decide_tick_of_follower(&self) -> Decision {
        if self.store == StoreState::InSync {
            return Decision::Finish(Ok(Default::default()));
        }
        Decision::Offer(Box::new(Proposal::unchanged(&self.rollout)))
    }

    /// Keeps the observations of a tick that was not applied.
    pub(super) fn keep_for_next_tick(&mut self, job: TickJob) {
        self.leftover = Tick { verdict: Verdict::Inconclusive, ..job.tick };
        if let Some(finding) = job.trip {
            self.deferred.push(Job::order(Order::new(Command::RollBack, Actor::Judge, finding)));
        }
    }
}

/// Returns whether verdicts have consequences in this phase.
const fn is_judged(phase: Phase) -> bool {
    matches!(phase, Phase::Starting | Phase::Running | Phase::Paused | Phase::Baking)
}
