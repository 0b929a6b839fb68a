use std::time::Duration;

use canary_analysis::{Judge, Monitor, Role};
use canary_core::{Verdict, Weight};

use super::Rollout;
use crate::{
    dry_run::{Bound, MONTH, time_for},
    outlook::{Caught, Obstacle, Outlook, Promotion, StageOutlook, Traffic},
    plan::OnInconclusive,
    proof::Proof,
    state::{GateState, PauseReason, Progress, PromotionBasis, Stage, phase::State},
    timestamp::Timestamp,
};

impl Rollout {
    /// Returns when the rollout will be promoted at this traffic, and the smallest regression that it
    /// catches by then.
    ///
    /// It assumes that the canary is as good as stable, probes pass, and gates open at once. It
    /// respects the calendar, the warm-up and all deadlines. The times are pessimistic: with a
    /// probability of at least 95%, the proof is no later, under the assumptions of a
    /// [`DryRun`](crate::dry_run::DryRun). Evidence of earlier steps counts with the least time that the
    /// plan gives them.
    ///
    /// ```
    /// use canary_rollout::{
    ///     Actor, Command, Order, Plan, Releases, Rollout, Timestamp, outlook::Traffic,
    /// };
    ///
    /// let plan = Plan::from_toml("steps = [{ weight = '10%', min_calls = 2000 }]")?;
    /// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
    /// let mut rollout = Rollout::new("shop".parse()?, releases, plan);
    /// let now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
    /// rollout.command(now, &Order::new(Command::Start, Actor::person("anna"), ""))?;
    ///
    /// let slow = Traffic::try_new(0.05, Some(0.0))?;
    /// assert_eq!(
    ///     rollout.outlook(now, &slow).to_string(),
    ///     "not promoted at this traffic: step 1 of 1 needs 4d15h6m40s for its calls, and its \
    ///      deadline is 1d",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn outlook(&self, now: Timestamp, traffic: &Traffic) -> Outlook {
        let mut walk = Walk::new(self, now, *traffic);
        let promotion = match self.blocked() {
            Some(obstacle) => Promotion::Never(obstacle),
            None => match walk.reach_promotion() {
                Ok(at) => Promotion::At(at),
                Err(obstacle) => Promotion::Never(obstacle),
            },
        };
        let caught = match promotion {
            Promotion::At(_) => Caught::on(&walk.path, &walk.judge, *traffic),
            Promotion::Never(_) => None,
        };
        Outlook { promotion, stages: walk.stages, gates: walk.gates, caught }
    }

    /// Returns the reason why the plan does not advance now, whatever the traffic is.
    fn blocked(&self) -> Option<Obstacle> {
        match &self.state {
            State::Idle => Some(Obstacle::Operator("the rollout has not started".to_owned())),
            State::Paused { .. } if self.plan().is_by_hand() => {
                Some(Obstacle::Operator("the weight changes only by hand".to_owned()))
            }
            State::Paused { reason: PauseReason::Maximum, .. } => {
                Some(Obstacle::Operator(PauseReason::Maximum.to_string()))
            }
            State::Paused { reason, .. } => {
                Some(Obstacle::Operator(format!("the rollout is paused ({reason})")))
            }
            State::RampingDown { .. }
            | State::Promoted { .. }
            | State::RolledBack { .. }
            | State::Halted { .. } => Some(Obstacle::Ended(self.phase())),
            State::Starting { .. } | State::Running { .. } | State::Baking { .. } => None,
        }
    }
}

/// A walk through the remaining stages of a rollout.
struct Walk<'a> {
    rollout: &'a Rollout,
    judge: Judge,
    traffic: Traffic,
    begins: Timestamp,
    at: Timestamp,
    /// The weights and their durations from the first step on, one for each step.
    path: Vec<(Weight, Duration)>,
    stages: Vec<StageOutlook>,
    gates: Vec<String>,
    /// The end of the canary's warm-up, which delays the proof.
    warm: Timestamp,
    /// Whether the plan goes on without the proof that the latest stage requires.
    is_waived: bool,
}

impl<'a> Walk<'a> {
    fn new(rollout: &'a Rollout, now: Timestamp, traffic: Traffic) -> Self {
        let (path, stages, gates) = (Vec::new(), Vec::new(), Vec::new());
        let judge = rollout.plan().judge_by(traffic.unit);
        let warm = now + warm_up_left(rollout, &judge);
        let is_waived = false;
        Self { rollout, judge, traffic, begins: now, at: now, path, stages, gates, warm, is_waived }
    }

    fn reach_promotion(&mut self) -> Result<Timestamp, Obstacle> {
        let plan = self.rollout.plan();
        let Some(first) = self.rollout.state.stage() else {
            return Err(Obstacle::Ended(self.rollout.phase()));
        };
        self.add_past_steps(&first);
        let next_step = match &first {
            Stage::Start => 0,
            Stage::Step { step } => step + 1,
            Stage::Bake { .. } => plan.steps().len(),
        };
        let is_baking = matches!(first, Stage::Bake { .. });
        self.pass(&first)?;
        for step in next_step..plan.steps().len() {
            self.pass(&Stage::Step { step })?;
        }
        if plan.max_weight() < Weight::FULL && !is_baking {
            return Err(Obstacle::Operator(PauseReason::Maximum.to_string()));
        }
        if plan.bake().is_some() && !is_baking {
            let basis = match self.is_waived {
                true => PromotionBasis::Deadline,
                false => PromotionBasis::Proof { evidence: String::new() },
            };
            self.pass(&Stage::Bake { basis })?;
        }
        self.wait_for_calendar()?;
        Ok(self.at)
    }

    /// Adds the steps before `first` with the least time that the plan gives them, but not more than
    /// has passed.
    fn add_past_steps(&mut self, first: &Stage) {
        let steps = match first {
            Stage::Start => 0,
            Stage::Step { step } => *step,
            Stage::Bake { .. } => self.rollout.plan().steps().len(),
        };
        let here = self.rollout.state.progress().map_or(Duration::ZERO, |it| it.ticked);
        let mut passed = self.rollout.clock.elapsed.saturating_sub(here);
        for step in &self.rollout.plan().steps()[..steps] {
            let for_calls = self.time_for_calls(step.min_calls, step.weight).unwrap_or(passed);
            let took = step.min_duration.max(for_calls).min(passed);
            passed -= took;
            self.path.push((step.weight, took));
        }
    }

    /// Waits until the conditions of a stage are met.
    fn pass(&mut self, stage: &Stage) -> Result<(), Obstacle> {
        let rollout = self.rollout;
        let weight = rollout.weight_of(stage);
        let is_present = self.stages.is_empty();
        let progress = match rollout.state.progress() {
            Some(progress) if is_present => progress.clone(),
            _ => Progress::default(),
        };
        if progress.since.is_none() {
            self.wait_for_calendar()?;
        }
        let (min_duration, min_calls, needs_proof) = rollout.requirements_of(stage);
        let elapsed = progress.time_at_weight(self.begins);
        let (mut takes, mut bound) = (min_duration.saturating_sub(elapsed), Bound::Time);
        let calls = min_calls.saturating_sub(progress.calls);
        let for_calls = self.time_for_calls(calls, weight);
        if for_calls.is_none_or(|time| time > takes) {
            bound = Bound::Calls;
        }
        let Some(for_calls) = for_calls else {
            return Err(self.deadline(stage, bound, None));
        };
        takes = takes.max(for_calls);
        self.is_waived = false;
        if needs_proof && !(is_present && rollout.verdict == Verdict::Healthy) {
            let waived = self.time_until_waived(stage, &progress, elapsed);
            let for_proof = match self.time_for_proof(stage, weight, elapsed) {
                Err(unknown) if waived.is_none() => return Err(unknown),
                time => time.unwrap_or_default(),
            };
            if for_proof.is_none_or(|time| time > takes) {
                bound = Bound::Proof;
                self.is_waived = waived.is_some_and(|time| for_proof.is_none_or(|it| time < it));
                match for_proof.into_iter().chain(waived).min() {
                    Some(time) => takes = takes.max(time),
                    None => return Err(self.deadline(stage, bound, None)),
                }
            }
        }
        let waited = progress.waited.saturating_add(takes);
        let is_late = rollout.deadline_of(stage).is_some_and(|deadline| waited > deadline);
        // Time alone passes after the deadline as well.
        if is_late && bound != Bound::Time {
            return Err(self.deadline(stage, bound, Some(takes)));
        }
        if *stage != Stage::Start {
            self.path.push((weight, elapsed.saturating_add(takes)));
        }
        let from = self.at;
        self.at = self.at + takes;
        let total = rollout.clock.elapsed.saturating_add(self.at.since(self.begins));
        if rollout.plan().deadline().is_some_and(|deadline| total > deadline) {
            return Err(Obstacle::RolloutDeadline);
        }
        let is_open =
            |gate: &String| matches!(progress.gates.get(gate), Some(GateState::Open { .. }));
        self.gates.extend(rollout.gates_of(stage).into_iter().filter(|gate| !is_open(gate)));
        self.stages.push(StageOutlook {
            stage: describe(rollout, stage),
            weight,
            from,
            takes,
            bound,
        });
        Ok(())
    }

    /// Returns the time until the plan waives the proof of a stage; `None` if it does not.
    fn time_until_waived(
        &self,
        stage: &Stage,
        progress: &Progress,
        elapsed: Duration,
    ) -> Option<Duration> {
        let rollout = self.rollout;
        let advances = rollout.plan().on_inconclusive() == OnInconclusive::Advance;
        let deadline = rollout.deadline_of(stage).filter(|_| advances);
        let at_deadline = deadline.map(|deadline| deadline.saturating_sub(progress.waited));
        let after = rollout.without_proof_after(stage);
        let after = after.map(|after| after.saturating_sub(elapsed));
        at_deadline.into_iter().chain(after).min()
    }

    fn wait_for_calendar(&mut self) -> Result<(), Obstacle> {
        if let Some(calendar) = self.rollout.plan().calendar() {
            self.at = calendar.next_opening(self.at).ok_or(Obstacle::Calendar)?;
        }
        Ok(())
    }

    /// Returns the time until the canary gets these calls; `None` if it gets none.
    fn time_for_calls(&self, calls: u64, weight: Weight) -> Option<Duration> {
        let per_second = self.traffic.calls_per_second * weight.ratio();
        match calls {
            0 => Some(Duration::ZERO),
            _ if per_second <= 0.0 => None,
            _ => Some(time_for(calls, per_second)),
        }
    }

    /// Returns the time until the canary is proven healthy; `None` if that takes longer than a month.
    fn time_for_proof(
        &self,
        stage: &Stage,
        weight: Weight,
        elapsed: Duration,
    ) -> Result<Option<Duration>, Obstacle> {
        let unknown = || Obstacle::UnknownProof { stage: describe(self.rollout, stage) };
        let rate = self.traffic.failure_rate.ok_or_else(unknown)?;
        let calls = self.traffic.calls_per_second;
        let proof = Proof::of(&self.judge, calls, rate).ok_or_else(unknown)?;
        let path: Vec<_> = self.path.iter().copied().chain([(weight, MONTH)]).collect();
        let before: Duration = self.path.iter().map(|(_, took)| *took).sum();
        let warm_up = self.warm.since(self.at);
        let until = proof.on(&path, |monitor, _| monitor.warm_up().min(warm_up));
        let takes = until.map(|until| until.saturating_sub(before).saturating_sub(elapsed));
        Ok(takes.map(|takes| takes.max(warm_up)))
    }

    fn deadline(&self, stage: &Stage, bound: Bound, needs: Option<Duration>) -> Obstacle {
        let deadline = self.rollout.deadline_of(stage);
        Obstacle::Deadline { stage: describe(self.rollout, stage), bound, needs, deadline }
    }
}

/// Returns the time until the warm-ups of all monitors that decide are over.
fn warm_up_left(rollout: &Rollout, judge: &Judge) -> Duration {
    if let Some(left) = rollout.warm_up_left {
        return left;
    }
    if rollout.weight > Weight::ZERO {
        return Duration::ZERO;
    }
    let deciding = judge.monitors().filter(|monitor| monitor.role() == Role::Decides);
    deciding.map(Monitor::warm_up).max().unwrap_or_default()
}

fn describe(rollout: &Rollout, stage: &Stage) -> String {
    match stage {
        Stage::Start => "the start".to_owned(),
        Stage::Step { step } => rollout.step_of(*step),
        Stage::Bake { .. } => "the bake".to_owned(),
    }
}
