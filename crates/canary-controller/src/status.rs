use std::{collections::BTreeMap, time::Duration};

use canary_analysis::Judgment;
use canary_core::{Snapshot, Weight};
use canary_rollout::{CommandName, Rollout, Timestamp};
use tower_canary::CanaryHandle;

/// All that a controller knows of one canary, at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// When that was.
    pub at: Timestamp,
    /// The rollout: its plan, its state, the releases, the latest events.
    pub rollout: Rollout,
    /// What it waits for, in one sentence.
    pub waits: String,
    /// The commands that are allowed now and have an effect.
    pub allowed: Vec<CommandName>,
    /// What the judge says, monitor by monitor.
    pub judgment: Judgment,
    /// The weight that the data plane has. After a rollback by the guard it is zero before the rollout
    /// knows.
    pub weight: Weight,
    /// What was counted.
    pub counts: Snapshot,
    /// How the latest run of each probe ended, by its name in the plan.
    pub probes: BTreeMap<String, String>,
    /// Why nothing is known of the stored rollout yet; none once it is loaded. Until then the weight stays.
    pub unloaded: Option<String>,
    /// For how long nothing could be stored; none while the store answers. Nothing is raised meanwhile.
    pub unsaved: Option<Duration>,
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
            waits: rollout.pending(at).to_string(),
            allowed: rollout.allowed(),
            rollout: rollout.clone(),
            judgment: judgment.clone(),
            weight: canary.weight(),
            counts: canary.counts(),
            probes: BTreeMap::new(),
            unloaded: None,
            unsaved: None,
        }
    }
}
