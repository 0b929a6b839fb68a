use canary_analysis::Judgment;
use canary_core::Verdict;
use canary_rollout::{Actor, Command, Order, Phase, Tick, plan::OnDegraded};

use crate::driver::{
    actions::is_judged,
    plan_tasks::Reports,
    run::{Driver, MAX_ATTEMPTS},
    save::ApplyResult,
};

impl Driver {
    /// Gives the state machine a tick: the verdict, the calls since the last tick, and the reports
    /// of probes and gates.
    pub(super) async fn decide(&mut self) {
        if !self.owns_releases() {
            return;
        }
        let trip = self.weight_lock.take_trip();
        let calls = self.judge.observe(&self.canary, self.rollout.weight());
        let calls = std::mem::take(&mut self.uncounted_calls).saturating_add(calls);
        let mut tick = self.next_tick(trip.as_deref(), calls);
        for _ in 0..MAX_ATTEMPTS {
            let (attempt, stage) = (self.rollout.attempt(), self.rollout.state().stage());
            if trip.as_ref().is_some_and(|finding| self.is_trip_too_late(finding)) {
                return;
            }
            let mut after = self.rollout.clone();
            let transition = after.tick(self.clock.now(), &tick);
            match self.apply(after, &transition).await {
                ApplyResult::Applied | ApplyResult::NotStoredYet(_) => return,
                ApplyResult::NotSaved(_) | ApplyResult::Unknown(_) => break,
                ApplyResult::Superseded if self.rollout.attempt() != attempt => return,
                ApplyResult::Superseded if self.rollout.state().stage() != stage => {
                    tick.probes.clear();
                    tick.answers.clear();
                }
                ApplyResult::Superseded => {}
            }
        }
        // The next tick counts the calls and the reports of this one.
        self.uncounted_calls = calls;
        self.tasks.reports = Reports { probes: tick.probes, gates: tick.answers };
        if let Some(finding) = trip {
            self.enqueue(Order::new(Command::RollBack, Actor::Judge, finding));
        }
    }

    fn next_tick(&mut self, trip: Option<&str>, calls: u64) -> Tick {
        let judgment = self.judge.judgment();
        let mut tick = match trip {
            // A trip counts even if the judge has since found the canary healthy.
            Some(finding) => Tick::new(Verdict::Degraded, finding),
            None => Tick::new(judgment.verdict, self.evidence(&judgment)),
        }
        .with_calls(calls)
        .with_warm_up_left(judgment.warm_up_left());
        let Reports { probes, gates } = std::mem::take(&mut self.tasks.reports);
        (tick.probes, tick.answers) = (probes, gates);
        tick
    }

    /// Returns the evidence of a judgment as a sentence, with a warning if few callers made it.
    fn evidence(&self, judgment: &Judgment) -> String {
        match self.judge.sources(&self.canary).warning() {
            Some(warning) => format!("{judgment}; {warning}"),
            None => judgment.to_string(),
        }
    }

    /// Returns whether the rollout has left the phases in which a trip has an effect. Queues a
    /// rollback if it has been promoted.
    fn is_trip_too_late(&mut self, finding: &str) -> bool {
        if is_judged(self.rollout.phase()) {
            return false;
        }
        self.weight_lock.acknowledge();
        if self.rollout.phase() == Phase::Promoted
            && !matches!(self.rollout.plan().on_degraded(), OnDegraded::Freeze | OnDegraded::Report)
        {
            self.enqueue(Order::new(Command::RollBack, Actor::Judge, finding));
        }
        true
    }
}
