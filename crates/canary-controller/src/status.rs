use std::{collections::BTreeMap, time::Duration};

use canary_analysis::Judgment;
use canary_core::{Snapshot, Weight};
use canary_rollout::{Rollout, Timestamp, command::CommandName};
use tower_canary::CanaryHandle;

use crate::evidence_sources::EvidenceSources;

/// The status of a rollout at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The time of the status.
    pub at: Timestamp,
    /// The rollout: its plan, its state, the releases, and the latest events, without its secret.
    pub rollout: Rollout,
    /// A sentence about the state of the rollout and the conditions that it waits for.
    pub summary: String,
    /// The commands that are allowed now and have an effect.
    pub allowed: Vec<CommandName>,
    /// The verdict and the findings of all monitors.
    pub judgment: Judgment,
    /// Who made the evidence.
    pub sources: EvidenceSources,
    /// The weight of the data plane. A rollback by the guard sets it to zero before the `rollout`
    /// records it.
    pub weight: Weight,
    /// The counts of this process.
    pub counts: Snapshot,
    /// The result of the latest run of each probe, by its name in the plan: "passed", or the reason
    /// of the failure.
    pub probes: BTreeMap<String, String>,
    /// The reason why the stored rollout is not loaded yet, or `None` once it is. Until then,
    /// `rollout` is a placeholder and the weight does not change.
    pub load_error: Option<String>,
    /// The time since saves began to fail, or `None` if the latest save succeeded. The weight does
    /// not rise while saves fail.
    pub unsaved_for: Option<Duration>,
}

impl Status {
    pub(crate) fn of(
        rollout: &Rollout,
        at: Timestamp,
        judgment: &Judgment,
        canary: &CanaryHandle,
    ) -> Self {
        Self {
            at,
            summary: rollout.pending(at).to_string(),
            allowed: rollout.allowed(),
            rollout: rollout.clone().with_sticky_secret(None),
            judgment: judgment.clone(),
            sources: EvidenceSources::default(),
            weight: canary.weight(),
            counts: canary.counts(),
            probes: BTreeMap::new(),
            load_error: None,
            unsaved_for: None,
        }
    }
}
