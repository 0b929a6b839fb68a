use super::{
    CommandFailure, Moment, Output, Replica,
    job::{Active, CommandJob, Job, PlanJob, is_immediate},
    machine::{DEPLOYMENT, not_stored_yet},
};
use crate::{
    action::{Action, Transition},
    actor::Actor,
    command::order::{Command, Order},
    rollout::Relation,
    state::phase::Phase,
};

impl Replica {
    /// Ends a job, and passes its result on.
    pub(super) fn finish(
        &mut self,
        now: Moment,
        active: Active,
        result: Result<Transition, CommandFailure>,
    ) {
        match active.job {
            Job::Command(job) => self.finish_command(job, result),
            Job::Plan(PlanJob { id, .. }) => {
                self.outputs.extend([Output::Reply { id, result }, Output::Release(id)]);
            }
            Job::Tick(job) => {
                if result.is_err() {
                    self.keep_for_next_tick(job);
                } else if self.is_driving() && self.seat.is_beat_due(now.uptime) {
                    self.jobs.push_front(Job::Beat.into());
                }
                self.start_if_idle();
            }
            job @ (Job::Deploy | Job::Merge(_)) => {
                if result.is_err() {
                    self.deferred.push(job);
                } else {
                    self.enforces_later |= matches!(job, Job::Merge(_));
                    self.start_if_idle();
                }
            }
            Job::Reload | Job::Beat | Job::Stop => {}
        }
        self.deploy_pending_plan();
        if self.enforces_later && !self.jobs.iter().any(|queued| queued.is_lowered) {
            self.enforce();
        }
    }

    /// Starts an idle rollout of this build, if the application has enabled that.
    fn start_if_idle(&mut self) {
        let is_idle = self.rollout.phase() == Phase::Idle && self.relation() == Relation::Same;
        if self.build.auto_start && self.is_loaded() && is_idle {
            let reason = "these releases have not been rolled out";
            let order = Order::new(Command::Start, Actor::program(DEPLOYMENT), reason);
            if !self.jobs.iter().any(|queued| matches!(queued.job, Job::Command(_))) {
                self.deferred.retain(|job| !matches!(job, Job::Command(it) if it.id.is_none()));
                self.push(Job::order(order));
            }
        }
    }

    fn finish_command(&mut self, mut job: CommandJob, result: Result<Transition, CommandFailure>) {
        let result = match result {
            // The data plane has carried it out already. The rollout follows when it can.
            Err(error @ (CommandFailure::NotLoaded(_) | CommandFailure::Contended))
                if is_immediate(&job.order.command) =>
            {
                let reason = match &error {
                    CommandFailure::NotLoaded(reason) => reason.clone(),
                    other => other.to_string(),
                };
                self.reply(&mut job, Ok(not_stored_yet(Transition::default(), &reason)));
                self.deferred.push(Job::Command(job));
                return;
            }
            result => result,
        };
        // A start by the replica itself is tried again each second, and the health of the store is
        // reported by itself.
        let is_repeated = job.id.is_none() && matches!(result, Err(CommandFailure::NotStored(_)));
        if job.is_answered
            && !is_repeated
            && let Err(error) = &result
        {
            self.outputs.push(Output::Warn(error.to_string()));
        }
        if is_immediate(&job.order.command) && self.relation() == Relation::Promoted {
            // It was meant for another build. This one keeps serving its canary.
            self.outputs.push(Output::Apply(vec![Action::RollBack]));
            self.enforces_later = true;
        }
        self.reply(&mut job, result);
        self.outputs.extend(job.id.map(Output::Release));
    }

    fn reply(&mut self, job: &mut CommandJob, result: Result<Transition, CommandFailure>) {
        if let Some(id) = job.id.filter(|_| !job.is_answered) {
            self.outputs.push(Output::Reply { id, result });
        }
        job.is_answered = true;
    }
}
