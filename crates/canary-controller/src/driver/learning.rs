//! What the judge learns about stable while no rollout is in progress.
//!
//! One replica learns and stores it about once a minute; the others show the stored evidence. It is the
//! one that the evidence names: the last driver, or the first replica to store what it has learned.

use std::time::Duration;

use canary_rollout::{
    Phase, Relation, Rollout,
    replica::{EvidenceSwapped, Input},
};
use tokio::time::Instant;

use super::run::Driver;

impl Driver {
    /// Returns whether the rollout is loaded and for the releases of this process.
    pub(super) fn is_known(&self) -> bool {
        self.replica.is_loaded() && self.replica.relation() == Relation::Same
    }

    /// Returns whether this replica learns.
    pub(super) fn is_learning(&self) -> bool {
        let rollout = self.replica.rollout();
        self.is_known() && is_over(rollout) && self.may_learn(rollout)
    }

    fn may_learn(&self, rollout: &Rollout) -> bool {
        self.replica.holds_evidence()
            || self.evidence.of(rollout).is_none()
            || self.evidence.driver().is_none()
            || self.evidence.age() >= SILENCE
    }

    /// Stores what the judge has learned, from time to time. A process that dies then loses little.
    pub(super) async fn save_learned(&mut self) {
        let is_due =
            self.evidence.age() >= SAVE_INTERVAL && self.learned_at.elapsed() >= SAVE_INTERVAL;
        if !is_due || !self.is_learning() {
            return;
        }
        self.learned_at = Instant::now();
        let swapped = self.swap_evidence().await;
        if matches!(swapped, EvidenceSwapped::Done | EvidenceSwapped::Conflict(_)) {
            self.feed(Input::EvidenceSeen(self.evidence.driver())).await;
        }
    }
}

fn is_over(rollout: &Rollout) -> bool {
    matches!(rollout.phase(), Phase::Idle | Phase::RolledBack | Phase::Halted)
}

/// The time between two saves of what the judge has learned.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// The age of the stored evidence after which another replica learns.
const SILENCE: Duration = Duration::from_secs(180);
