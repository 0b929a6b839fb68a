use std::time::Duration;

use canary_core::Weight;

use super::{Rollout, change::Change};
use crate::{
    action::Action,
    event::What,
    plan::{OnDegraded, RampDown},
    state::{Cause, Pause, State},
};

impl Change<'_> {
    /// Does with a degraded canary what the plan says.
    pub(super) fn degrade(&mut self, cause: Cause) {
        let by = cause.actor();
        match self.rollout.plan().on_degraded() {
            OnDegraded::Freeze => {
                let text = why(&cause);
                self.pause(Pause::Degraded(cause), by, What::Frozen, text);
            }
            OnDegraded::RampDown(_) if self.rollout.weight > Weight::ZERO => {
                let (from, since) = (self.rollout.weight, self.now);
                let text = why(&cause);
                self.enter(State::RampingDown { from, since, seen: Duration::ZERO, why: cause });
                self.ramp();
                self.record_proof(by, What::RampDownBegun, text);
            }
            OnDegraded::RampDown(_) | OnDegraded::RollBack => self.roll_back(cause),
        }
    }

    pub(super) fn roll_back(&mut self, cause: Cause) {
        let (by, text) = (cause.actor(), why(&cause));
        let is_found = matches!(cause, Cause::Degraded { .. });
        self.take_back(Action::RollBack);
        self.enter(State::RolledBack { at: self.now, why: cause });
        if is_found {
            self.record_proof(by, What::RolledBack, text);
        } else {
            self.record(by, What::RolledBack, text);
        }
    }

    /// Brings the weight down to where the ramp is by now.
    pub(super) fn ramp(&mut self) {
        let State::RampingDown { from, since, seen, why } = &self.rollout.state else { return };
        let over = match self.rollout.plan().on_degraded() {
            OnDegraded::RampDown(RampDown { over }) => over,
            OnDegraded::RollBack | OnDegraded::Freeze => Duration::ZERO,
        };
        // Whichever is more: a clock that jumps ahead brings calls back to stable the sooner.
        let passed = self.now.since(*since).max(*seen).as_millis();
        let stages = passed.saturating_mul(u128::from(STAGES)) / over.as_millis().max(1);
        let left = STAGES - 1 - u32::try_from(stages).unwrap_or(u32::MAX).min(STAGES - 1);
        if left == 0 {
            let why = why.clone();
            self.roll_back(why);
            return;
        }
        let ppm = from.ppm() / STAGES * left;
        self.set_weight(Weight::from_ppm(ppm).min(self.rollout.weight));
    }
}

impl Rollout {
    /// Whether the judge still has something to say.
    pub(super) const fn is_watched(&self) -> bool {
        match &self.state {
            State::Paused { why, .. } => !matches!(why, Pause::Degraded(_)),
            State::Starting { .. } | State::Running { .. } | State::Baking { .. } => true,
            State::Idle
            | State::RampingDown { .. }
            | State::Promoted { .. }
            | State::RolledBack { .. }
            | State::Halted { .. } => false,
        }
    }
}

/// The cause without the evidence, which an event has apart.
fn why(cause: &Cause) -> String {
    match cause {
        Cause::Degraded { .. } => "the canary is degraded".to_owned(),
        Cause::Word { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// The weight goes down by a tenth of what it was.
const STAGES: u32 = 10;
