use std::mem;

use canary_core::{Verdict, Weight};

use super::{change::Change, needs::Needs};
use crate::{
    action::Action,
    actor::Actor,
    event::EventKind,
    plan::OnInconclusive,
    span::{self, rough},
    state::{Deadline, PauseReason, Progress, PromotionBasis, RollbackReason, Stage, phase::State},
    text::grouped,
};

/// Whether a raise of the weight waits until the calendar is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CalendarGate {
    Ignore,
    Respect,
}

impl Change<'_> {
    /// Leaves the stage if its needs are met and its gates are open.
    pub(super) fn proceed(&mut self) {
        if !self.bring_into_force(Actor::Plan, String::new(), CalendarGate::Respect) {
            return;
        }
        self.run_probes();
        let needs = self.rollout.needs(self.now);
        if !needs.is_empty() {
            self.wait(&needs);
        } else if self.ask_gates() {
            self.leave();
        }
    }

    /// Sets the stage's weight if the calendar allows it, and returns whether it is in force.
    pub(super) fn bring_into_force(
        &mut self,
        by: Actor,
        reason: String,
        calendar: CalendarGate,
    ) -> bool {
        let Some(stage) = self.rollout.state.stage() else { return false };
        if self.rollout.state.progress().is_some_and(|progress| progress.since.is_some()) {
            return true;
        }
        let weight = self.rollout.weight_of(&stage);
        if calendar == CalendarGate::Respect && !self.is_open_for(weight) {
            return false;
        }
        let now = self.now;
        if let Some(progress) = self.rollout.state.progress_mut() {
            progress.since = Some(now);
        }
        self.set_weight(weight);
        let kind = match stage {
            Stage::Start => return true,
            Stage::Step { step } => EventKind::StepBegun { step },
            Stage::Bake { .. } => EventKind::BakeBegun,
        };
        self.raise(Action::BeginStep);
        self.record_with_evidence(by, kind, reason);
        true
    }

    /// Counts the passed time against the stage's deadline, and applies `on_inconclusive` when the
    /// deadline has passed.
    fn wait(&mut self, needs: &Needs) {
        let passed = self.passed;
        let Some(stage) = self.rollout.state.stage() else { return };
        let deadline = self.rollout.deadline_of(&stage);
        let has_quorum = self.rollout.without_quorum.is_none();
        let Some(progress) = self.rollout.state.progress_mut().filter(|_| has_quorum) else {
            return;
        };
        span::add(&mut progress.waited, passed);
        if deadline.is_none_or(|deadline| progress.waited < deadline) {
            return;
        }
        let has_no_data = progress.calls == 0 && stage != Stage::Start;
        let missed = if !needs.probes.is_empty() {
            Deadline::Probes
        } else if needs.calls.is_some() {
            Deadline::Calls
        } else if needs.lacks_proof {
            Deadline::Proof
        } else {
            // Only time is missing, which will pass, or replicas, which new ones replace.
            return;
        };
        let on_inconclusive = self.rollout.plan().on_inconclusive();
        if on_inconclusive == OnInconclusive::Advance && missed == Deadline::Proof {
            // `Rollout::needs` waives the proof after the deadline.
            return;
        }
        // Without calls there is no evidence against the canary.
        if on_inconclusive == OnInconclusive::RollBack && !has_no_data {
            self.roll_back(RollbackReason::Deadline(missed));
        } else {
            let reason = missed.to_string();
            self.pause(PauseReason::Deadline(missed), Actor::Plan, EventKind::Paused, reason);
        }
    }

    /// Leaves a stage whose needs are met.
    fn leave(&mut self) {
        let Some(stage) = self.rollout.state.stage() else { return };
        let steps = self.rollout.plan().steps().len();
        match stage {
            Stage::Start => self.begin_step(0, Actor::Plan, String::new()),
            Stage::Step { step } if step + 1 < steps => {
                let next = self.rollout.weight_of(&Stage::Step { step: step + 1 });
                if self.rollout.plan().needs_proof(step) && !self.is_open_for(next) {
                    self.stay_until_open();
                    return;
                }
                let mut reason = self.progress_summary();
                if let Some(waived) = self.waived_proof(step) {
                    reason = format!("{reason}; {waived}");
                }
                self.begin_step(step + 1, Actor::Plan, reason);
            }
            Stage::Step { .. } if self.rollout.plan().max_weight() < Weight::FULL => {
                let reason = PauseReason::Maximum.to_string();
                self.pause(PauseReason::Maximum, Actor::Plan, EventKind::Paused, reason);
            }
            Stage::Step { .. } => {
                let basis = self.promotion_basis();
                let next = Stage::Bake { basis: basis.clone() };
                if self.is_open_for(self.rollout.weight_of(&next)) {
                    self.promote_by(actor_of(&basis), basis);
                } else {
                    self.stay_until_open();
                }
            }
            Stage::Bake { basis } => {
                if self.rollout.is_raising_allowed(self.now) {
                    self.promote_fully(actor_of(&basis), basis);
                } else {
                    self.stay_until_open();
                }
            }
        }
    }

    /// Returns whether the calendar allows this weight now.
    fn is_open_for(&self, weight: Weight) -> bool {
        weight <= self.rollout.weight || self.rollout.is_raising_allowed(self.now)
    }

    /// Stays in the stage, because its proof may be gone when the calendar opens.
    fn stay_until_open(&mut self) {
        let progress = self.rollout.state.progress_mut();
        let was_delayed = progress.is_none_or(|it| mem::replace(&mut it.is_delayed, true));
        if !was_delayed {
            let reason = self.progress_summary();
            self.record(Actor::Plan, EventKind::CalendarClosed, reason);
        }
    }

    /// Returns the basis for giving the canary all calls: that of the present step if it does already.
    fn promotion_basis(&self) -> PromotionBasis {
        let rollout = &*self.rollout;
        let progress = rollout.state.progress();
        if let Some(basis) = progress.and_then(|progress| progress.basis.clone()) {
            return basis;
        }
        if rollout.verdict == Verdict::Healthy {
            return PromotionBasis::Proof { evidence: rollout.evidence.clone() };
        }
        let after = rollout.state.stage().and_then(|stage| rollout.without_proof_after(&stage));
        let elapsed = progress.map(|progress| progress.time_at_weight(self.now));
        match after.filter(|after| elapsed.is_some_and(|elapsed| elapsed >= *after)) {
            Some(after) => PromotionBasis::WithoutProof { after },
            None => PromotionBasis::Deadline,
        }
    }

    /// Returns the basis on which a step goes on without the proof that it requires.
    fn waived_proof(&self, step: usize) -> Option<PromotionBasis> {
        let basis = self.promotion_basis();
        let is_proven = matches!(basis, PromotionBasis::Proof { .. });
        (self.rollout.plan().needs_proof(step) && !is_proven).then_some(basis)
    }

    fn progress_summary(&self) -> String {
        let progress = self.rollout.state.progress();
        progress.map_or_else(String::new, |progress| {
            format!("after {} and {} calls", rough(progress.ticked), grouped(progress.calls))
        })
    }

    pub(super) fn begin_step(&mut self, step: usize, by: Actor, reason: String) {
        let is_full = self.rollout.weight_of(&Stage::Step { step }) == Weight::FULL;
        let basis = is_full.then(|| self.promotion_basis());
        self.enter(State::Running { step, progress: Progress { basis, ..Progress::default() } });
        if !self.bring_into_force(by.clone(), reason.clone(), CalendarGate::Respect) {
            self.record(by, EventKind::CalendarClosed, reason);
        }
    }

    /// Begins the bake, or promotes at once if the plan has none. It ignores the calendar.
    pub(super) fn promote_by(&mut self, by: Actor, basis: PromotionBasis) {
        if self.rollout.plan().bake().is_some() {
            let reason = basis.to_string();
            self.enter(State::Baking { progress: Progress::default(), basis });
            self.bring_into_force(by, reason, CalendarGate::Ignore);
        } else {
            self.promote_fully(by, basis);
        }
    }

    pub(super) fn promote_fully(&mut self, by: Actor, basis: PromotionBasis) {
        let reason = basis.to_string();
        self.raise(Action::Promote);
        self.enter(State::Promoted { at: self.now, basis });
        self.record_with_evidence(by, EventKind::Promoted, reason);
    }
}

fn actor_of(basis: &PromotionBasis) -> Actor {
    match basis {
        PromotionBasis::Proof { .. } => Actor::Judge,
        PromotionBasis::Manual { by, .. } => by.clone(),
        PromotionBasis::Deadline | PromotionBasis::WithoutProof { .. } => Actor::Plan,
    }
}
