use std::time::Duration;

use canary_core::Weight;

use super::{Rollout, change::Change};
use crate::{
    action::Action,
    event::EventKind,
    plan::{OnDegraded, RampDown},
    state::{PauseReason, RollbackReason, phase::State},
};

impl Change<'_> {
    /// Applies the plan's `on_degraded`.
    pub(super) fn degrade(&mut self, cause: RollbackReason) {
        let (by, event_reason) = (cause.actor(), without_evidence(&cause));
        match self.rollout.plan().on_degraded() {
            OnDegraded::Freeze => {
                self.pause(PauseReason::Degraded(cause), by, EventKind::Frozen, event_reason);
            }
            OnDegraded::RampDown(_) if self.rollout.weight > Weight::ZERO => {
                let (from, since) = (self.rollout.weight, self.now);
                let ticked = Duration::ZERO;
                self.enter(State::RampingDown { from, since, ticked, reason: cause });
                self.ramp_down();
                self.record_with_evidence(by, EventKind::RampDownBegun, event_reason);
            }
            OnDegraded::Report if self.was_degraded => {}
            OnDegraded::Report => {
                self.record_with_evidence(by, EventKind::FoundDegraded, event_reason);
            }
            OnDegraded::RampDown(_) | OnDegraded::RollBack => self.roll_back(cause),
        }
    }

    pub(super) fn roll_back(&mut self, cause: RollbackReason) {
        let (by, event_reason) = (cause.actor(), without_evidence(&cause));
        let has_evidence = matches!(cause, RollbackReason::Degraded { .. });
        self.take_back(Action::RollBack);
        self.enter(State::RolledBack { at: self.now, reason: cause });
        if has_evidence {
            self.record_with_evidence(by, EventKind::RolledBack, event_reason);
        } else {
            self.record(by, EventKind::RolledBack, event_reason);
        }
    }

    /// Lowers the weight to the value that the ramp has reached. Does nothing outside a ramp.
    pub(super) fn ramp_down(&mut self) {
        let State::RampingDown { from, since, ticked, reason } = &self.rollout.state else {
            return;
        };
        let over = match self.rollout.plan().on_degraded() {
            OnDegraded::RampDown(RampDown { over }) => over,
            OnDegraded::RollBack | OnDegraded::Freeze | OnDegraded::Report => Duration::ZERO,
        };
        // The longer of the two, because a clock that jumps must not delay the ramp.
        let passed = self.now.since(*since).max(*ticked).as_millis();
        let stages = passed.saturating_mul(u128::from(STAGES)) / over.as_millis().max(1);
        let left = STAGES - 1 - u32::try_from(stages).unwrap_or(u32::MAX).min(STAGES - 1);
        if left == 0 {
            let reason = reason.clone();
            self.roll_back(reason);
            return;
        }
        let ppm = from.ppm() / STAGES * left;
        self.set_weight(Weight::from_ppm(ppm).min(self.rollout.weight));
    }
}

impl Rollout {
    /// Returns whether the judge's verdict can still change the state.
    pub(super) const fn is_judged(&self) -> bool {
        match &self.state {
            State::Paused { reason, .. } => !matches!(reason, PauseReason::Degraded(_)),
            State::Starting { .. } | State::Running { .. } | State::Baking { .. } => true,
            State::Idle
            | State::RampingDown { .. }
            | State::Promoted { .. }
            | State::RolledBack { .. }
            | State::Halted { .. } => false,
        }
    }
}

/// Formats the reason for an event without the evidence, which the event contains separately.
fn without_evidence(reason: &RollbackReason) -> String {
    match reason {
        RollbackReason::Degraded { .. } => "the canary is degraded".to_owned(),
        RollbackReason::Manual { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// A ramp lowers the weight in this many equal steps.
const STAGES: u32 = 10;
