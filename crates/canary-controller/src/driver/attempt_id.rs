use canary_rollout::{Lineage, Releases, Rollout};
use serde::{Deserialize, Serialize};

/// The identity of an attempt: what its counts and its evidence belong to.
///
/// After the store was wiped, an attempt of the same releases and number can begin again. It has
/// another lineage, and other counts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct AttemptId {
    #[serde(rename = "of")]
    releases: Releases,
    attempt: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lineage: Option<Lineage>,
}

impl AttemptId {
    pub(super) fn of(rollout: &Rollout) -> Self {
        let (releases, lineage) = (rollout.releases().clone(), rollout.lineage());
        Self { releases, attempt: rollout.attempt(), lineage }
    }

    /// Returns whether this attempt was over when the other one began. Attempts of different lineages
    /// have no order.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.lineage == other.lineage && self.attempt < other.attempt
    }
}
