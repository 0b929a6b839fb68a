use std::{collections::BTreeMap, time::Duration};

use canary_analysis::Judgment;
use canary_core::{Snapshot, Weight};
use canary_rollout::{
    Rollout, Timestamp,
    command::CommandName,
    event::Event,
    replica::{Replica, ReplicaId, StoreState},
};
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
    /// The replica that drives the rollout: it judges, advances the plan, runs the probes and asks the
    /// gates. `None` if it is not known, and meaningless if no rollout is in progress.
    pub driver: Option<ReplicaId>,
    /// Whether this replica drives the rollout.
    pub is_driving: bool,
    /// Events that are in force here and not stored yet. Their numbers can still change.
    pub unsaved: Vec<Event>,
    /// The time since saves began to fail, or `None` if the latest save succeeded. The weight does
    /// not rise while saves fail.
    pub unsaved_for: Option<Duration>,
}

impl Status {
    pub(crate) fn of(
        replica: &Replica,
        at: Timestamp,
        judgment: &Judgment,
        canary: &CanaryHandle,
    ) -> Self {
        let rollout = replica.rollout();
        let load_error = match replica.store() {
            StoreState::Loading { reason, .. } => Some(reason.clone()),
            _ => None,
        };
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
            load_error,
            driver: replica.driver().cloned(),
            is_driving: replica.is_driving(),
            unsaved: replica.unsaved().to_vec(),
            unsaved_for: None,
        }
    }
}
