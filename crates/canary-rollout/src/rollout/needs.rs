use std::time::Duration;

use canary_core::{Verdict, Weight};

use super::Rollout;
use crate::{
    fleet::Fleet,
    plan::OnInconclusive,
    state::{Progress, PromotionBasis, Stage},
    timestamp::Timestamp,
};

/// The conditions that a stage has not met, without its gates, which are asked afterwards.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Needs {
    pub(crate) time: Option<TimeNeeded>,
    pub(crate) calls: Option<CallsNeeded>,
    /// The verdict must become "healthy".
    pub(crate) lacks_proof: bool,
    /// The time after which the stage goes on without proof, if it lacks proof and has such a time.
    pub(crate) without_proof: Option<TimeNeeded>,
    /// The time until the judge counts the calls of all monitors. It counts only if proof is needed.
    pub(crate) warm_up: Option<Duration>,
    /// The probes that have not passed.
    pub(crate) probes: Vec<String>,
    /// The replicas that are heard, if they are fewer than the quorum.
    pub(crate) without_quorum: Option<Fleet>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TimeNeeded {
    pub(crate) elapsed: Duration,
    pub(crate) required: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CallsNeeded {
    pub(crate) observed: u64,
    pub(crate) required: u64,
}

impl Needs {
    pub(super) const fn is_empty(&self) -> bool {
        self.time.is_none()
            && self.calls.is_none()
            && !self.lacks_proof
            && self.probes.is_empty()
            && self.without_quorum.is_none()
    }
}

impl Rollout {
    pub(crate) fn needs(&self, now: Timestamp) -> Needs {
        let (Some(stage), Some(progress)) = (self.state.stage(), self.state.progress()) else {
            return Needs::default();
        };
        let (min_duration, min_calls, needs_proof) = self.requirements_of(&stage);
        let elapsed = progress.time_at_weight(now);
        let without_proof_after = self.without_proof_after(&stage);
        let is_waived = without_proof_after.is_some_and(|after| elapsed >= after)
            || (self.is_past_deadline(&stage, progress)
                && self.plan().on_inconclusive() == OnInconclusive::Advance);
        let lacks_proof = needs_proof && self.verdict != Verdict::Healthy && !is_waived;
        let is_missing = |name: &String| {
            let needed = self.plan().probes().get(name).map_or(1, |probe| probe.success_threshold);
            progress.probes.get(name).is_none_or(|state| state.passes < needed)
        };
        Needs {
            time: (elapsed < min_duration)
                .then_some(TimeNeeded { elapsed, required: min_duration }),
            calls: (progress.calls < min_calls)
                .then_some(CallsNeeded { observed: progress.calls, required: min_calls }),
            lacks_proof,
            without_proof: without_proof_after
                .filter(|_| lacks_proof)
                .map(|required| TimeNeeded { elapsed, required }),
            warm_up: self.warm_up_left.filter(|_| lacks_proof),
            probes: self.probes_of(&stage).into_iter().filter(is_missing).collect(),
            without_quorum: self.without_quorum.clone(),
        }
    }

    /// Returns the minimum duration, the minimum calls, and whether the stage needs proof.
    pub(super) fn requirements_of(&self, stage: &Stage) -> (Duration, u64, bool) {
        match stage {
            Stage::Start => (Duration::ZERO, 0, false),
            Stage::Step { step: index } => {
                let step = &self.plan().steps()[*index];
                (step.min_duration, step.min_calls, self.plan().needs_proof(*index))
            }
            Stage::Bake { basis } => {
                let duration = self.plan().bake().map_or(Duration::ZERO, |bake| bake.duration);
                (duration, 1, matches!(basis, PromotionBasis::Proof { .. }))
            }
        }
    }

    pub(super) fn probes_of(&self, stage: &Stage) -> Vec<String> {
        match stage {
            Stage::Start => self.plan().start().probes.clone(),
            Stage::Step { step } => self.plan().steps()[*step].probes.clone(),
            Stage::Bake { .. } => {
                self.plan().bake().map(|bake| bake.probes.clone()).unwrap_or_default()
            }
        }
    }

    pub(crate) fn gates_of(&self, stage: &Stage) -> Vec<String> {
        match stage {
            Stage::Start => self.plan().start().gates.clone(),
            Stage::Step { step } => self.plan().steps()[*step].gates.clone(),
            Stage::Bake { .. } => Vec::new(),
        }
    }

    /// Returns the deadline of a stage; `None` if it has none.
    pub(super) fn deadline_of(&self, stage: &Stage) -> Option<Duration> {
        match stage {
            // A plan by hand has no steps, and waits for no deadline.
            Stage::Start => self.plan().steps().first()?.deadline,
            Stage::Step { step } => self.plan().steps()[*step].deadline,
            Stage::Bake { .. } => self.plan().bake()?.deadline,
        }
    }

    /// Returns the time after which a stage goes on without proof; `None` if it does not.
    pub(super) fn without_proof_after(&self, stage: &Stage) -> Option<Duration> {
        match stage {
            Stage::Start => None,
            Stage::Step { step } => self.plan().steps()[*step].without_proof_after,
            Stage::Bake { .. } => self.plan().bake()?.without_proof_after,
        }
    }

    fn is_past_deadline(&self, stage: &Stage, progress: &Progress) -> bool {
        self.deadline_of(stage).is_some_and(|deadline| progress.waited >= deadline)
            || self.is_past_rollout_deadline()
    }

    pub(super) fn is_past_rollout_deadline(&self) -> bool {
        self.plan().deadline().is_some_and(|deadline| self.clock.elapsed >= deadline)
    }

    pub(super) fn weight_of(&self, stage: &Stage) -> Weight {
        match stage {
            Stage::Start => Weight::ZERO,
            Stage::Step { step } => self.plan().steps()[*step].weight,
            Stage::Bake { .. } => {
                let holdback = self.plan().bake().map_or(0, |bake| bake.holdback.ppm());
                Weight::from_ppm(Weight::FULL.ppm() - holdback)
            }
        }
    }

    /// Returns the number of steps of the plan that have begun in this attempt, for
    /// [`Judge::reach_step`](canary_analysis::Judge::reach_step): some monitors judge only from a later
    /// step on.
    ///
    /// A step begins when its weight comes into force, so one that waits for the calendar has not begun.
    /// In the bake, all steps have. A step that was skipped counts, even if it never began. It is 0 if the plan is not in progress.
    #[must_use]
    pub fn begun_steps(&self) -> usize {
        let is_in_force = self.state.progress().is_some_and(|progress| progress.since.is_some());
        match self.state.stage() {
            None | Some(Stage::Start) => 0,
            Some(Stage::Step { step }) => step + usize::from(is_in_force),
            Some(Stage::Bake { .. }) => self.plan().steps().len(),
        }
    }

    pub(crate) fn is_raising_allowed(&self, now: Timestamp) -> bool {
        self.plan().calendar().is_none_or(|calendar| calendar.is_open(now))
    }

    /// Returns whether the calendar opens or closes between the latest tick and this time.
    pub(crate) fn changes_hours_until(&self, time: Timestamp) -> bool {
        let is_open = self.is_raising_allowed(time);
        self.clock.latest.is_some_and(|latest| self.is_raising_allowed(latest) != is_open)
    }
}
