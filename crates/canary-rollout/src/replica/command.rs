use super::{
    CommandFailure, Moment, Replica,
    job::{CommandJob, Decision, PlanJob, Proposal, is_immediate, join},
    machine::{DEPLOYMENT, is_in_progress},
};
use crate::{
    action::Transition, actor::Actor, command::order::Command, event::EventId, rollout::Relation,
    rollout::Rollout,
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
    /// for it, and no other build drives it.
    pub(super) fn may_deploy(&self, now: Moment) -> bool {
        let is_driven = is_in_progress(self.rollout.phase()) && !self.seat.is_free(now.uptime);
        self.relation() == Relation::New && !is_driven
    }

    pub(super) fn decide_deploy(&mut self, now: Moment) -> Decision {
        let mut after = self.rollout.clone();
        let transition = match self.relation() {
            Relation::Same => self.deploy(now, &mut after),
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
        let (plan, by) = (self.build.plan.clone(), Actor::program(DEPLOYMENT));
        match rollout.replace_plan(now.at, plan, &by, "the plan of this build") {
            Ok(plan) => join(releases, plan),
            Err(in_use) => {
                self.outputs.push(super::Output::Warn(in_use.to_string()));
                releases
            }
        }
    }
}
