use super::{
    CommandFailure, Moment, Output, Replica,
    job::{CommandJob, Decision, Job, PlanJob, Proposal, is_immediate, join},
    machine::{DEPLOYMENT, is_in_progress},
};
use crate::{
    action::Transition,
    actor::Actor,
    command::order::Command,
    event::EventId,
    rollout::{Relation, Rollout},
};

impl Replica {
    pub(super) fn decide_command(&mut self, now: Moment, job: &CommandJob) -> Decision {
        let command = &job.order.command;
        let mut after = self.rollout.clone();
        let mut deployed = Transition::default();
        if !is_immediate(command) {
            if let Err(changed) = self.check_seen(job.seen) {
                return Decision::Finish(Err(changed));
            }
            match (self.relation(), command) {
                (Relation::Same, command)
                    if self.pending_plan().is_some() && command.begins_attempt(after.phase()) =>
                {
                    deployed = self.set_plan(now, &mut after);
                }
                (Relation::Same, _) => {}
                // A start by an operator replaces the rollout of another build.
                (_, Command::Start) => deployed = self.deploy(now, &mut after),
                _ => {
                    let releases = after.releases().clone();
                    return Decision::Finish(Err(CommandFailure::OtherReleases(releases)));
                }
            }
        }
        match after.command(now.at, &job.order) {
            Err(refusal) => Decision::Finish(Err(CommandFailure::Refused(refusal))),
            Ok(transition) if transition.actions.is_empty() => Decision::Finish(Ok(transition)),
            Ok(transition) => {
                let transition = join(deployed, transition);
                Decision::Offer(Box::new(Proposal { after, transition }))
            }
        }
    }

    pub(super) fn decide_plan(&self, now: Moment, job: &PlanJob) -> Decision {
        if let Err(changed) = self.check_seen(job.seen) {
            return Decision::Finish(Err(changed));
        }
        let mut after = self.rollout.clone();
        if self.relation() != Relation::Same {
            let releases = after.releases().clone();
            return Decision::Finish(Err(CommandFailure::OtherReleases(releases)));
        }
        let PlanJob { plan, by, reason, .. } = job;
        match after.replace_plan(now.at, (**plan).clone(), by, reason) {
            Err(in_use) => Decision::Finish(Err(CommandFailure::PlanInUse(in_use))),
            Ok(transition) if transition.actions.is_empty() => Decision::Finish(Ok(transition)),
            Ok(transition) => Decision::Offer(Box::new(Proposal { after, transition })),
        }
    }

    /// Checks that the event that the author has seen, if any, is the latest.
    fn check_seen(&self, seen: Option<EventId>) -> Result<(), CommandFailure> {
        let latest = self.rollout.latest();
        match seen {
            Some(seen) if Some(seen) != latest => Err(CommandFailure::Changed { seen, latest }),
            _ => Ok(()),
        }
    }

    /// Returns whether this build may take the rollout without a command: the rollout has never been
    /// for it, and no other build drives it. A driver that stops leaves the seat to the other replicas of
    /// its build.
    pub(super) fn may_deploy(&self, now: Moment) -> bool {
        let is_driven = is_in_progress(self.rollout.phase()) && !self.seat.is_silent(now.uptime);
        self.relation() == Relation::New && !is_driven
    }

    pub(super) fn decide_deploy(&mut self, now: Moment) -> Decision {
        let mut after = self.rollout.clone();
        let transition = match self.relation() {
            Relation::Same if self.pending_plan().is_some() => self.deploy(now, &mut after),
            Relation::New if self.may_deploy(now) => self.deploy(now, &mut after),
            _ => Transition::default(),
        };
        if transition.actions.is_empty() {
            return Decision::Finish(Ok(transition));
        }
        Decision::Offer(Box::new(Proposal { after, transition }))
    }

    /// Sets the releases and the plan of a rollout to those of this build.
    fn deploy(&mut self, now: Moment, rollout: &mut Rollout) -> Transition {
        let releases = rollout.set_releases(now.at, self.build.releases.clone());
        if is_in_progress(rollout.phase()) && *rollout.plan() != self.build.plan {
            let phase = rollout.phase();
            self.outputs.push(Output::Warn(format!(
                "the plan of this process has changed, and the rollout is {phase} with the previous \
                 one: the new plan applies from the next start"
            )));
            return releases;
        }
        join(releases, self.set_plan(now, rollout))
    }

    fn set_plan(&self, now: Moment, rollout: &mut Rollout) -> Transition {
        let (plan, by) = (self.build.plan.clone(), Actor::program(DEPLOYMENT));
        rollout.set_plan(now.at, plan, &by, "the plan of this build")
    }

    /// Queues the deployment of the plan that had to wait for the end of the rollout.
    pub(super) fn deploy_pending_plan(&mut self) {
        let queued = self.jobs.iter().map(|queued| &queued.job).chain(&self.deferred);
        let is_queued = queued.into_iter().any(|job| matches!(job, Job::Deploy));
        let is_pending = self.pending_plan().is_some();
        if is_pending && !is_in_progress(self.rollout.phase()) && !is_queued {
            self.jobs.push_front(Job::Deploy.into());
        }
    }
}
