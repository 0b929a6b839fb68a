use std::{collections::BTreeMap, sync::Arc, time::Duration};

use canary_analysis::Judgment;
use canary_core::{PerChannel, Snapshot, Weight};
use canary_rollout::{
    Plan, Rollout, Timestamp,
    command::CommandName,
    event::Event,
    fleet::Fleet,
    outlook::Traffic,
    replica::{Replica, ReplicaId, StoreState},
};
use tower_canary::CanaryHandle;

use crate::{
    evidence_sources::EvidenceSources,
    store::{StoreFailure, StoreOperation},
};

/// The status of a rollout at one moment.
///
/// It is published with each tick and each change. [At rest](crate::Controller::interval), it can be up to
/// a minute old, unless it is [viewed](crate::RolloutHandle::keep_current).
///
/// Every replica shows the same rollout and the same judgment, which the driver makes. What the data
/// plane does is shown as this process sees it: the weight, the counts, open calls, the traffic and
/// the sources of the evidence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The time of the status.
    pub at: Timestamp,
    /// The rollout: its plan, its state, the releases, and the latest events, without its secret.
    pub rollout: Rollout,
    /// A sentence about the state of the rollout and the conditions that it waits for, or about the reason
    /// why it is not loaded. It names the first of the `store_failures`.
    pub summary: String,
    /// The commands that are allowed now and have an effect.
    pub allowed: Vec<CommandName>,
    /// The plan of this process, if it applies only from the next start, because the rollout was in
    /// progress with another plan when the process began.
    pub pending_plan: Option<Plan>,
    /// The verdict and the findings of all monitors. On a replica that does not drive, it is the
    /// latest that the driver has stored, which is at most a [`BEAT`](canary_rollout::replica::BEAT)
    /// older, or a minute once the rollout is over.
    pub judgment: Arc<Judgment>,
    /// Who made the evidence.
    pub sources: EvidenceSources,
    /// The weight of the data plane. A rollback by the guard sets it to zero before the `rollout`
    /// records it.
    pub weight: Weight,
    /// The counts of this process, with the latencies of both channels.
    pub counts: Snapshot,
    /// The open calls of this process: those whose response or upgraded connection has not ended. After
    /// a rollback, some may stay open on the canary until they are drained.
    pub open: PerChannel<u64>,
    /// The traffic of this process; `None` in the first ten seconds. The calls are those of the last
    /// minute, and the failure rate is that of the last ten minutes. Only compared calls count.
    pub traffic: Option<Traffic>,
    /// The result of the latest run of each probe, by its name in the plan: "passed", or the reason
    /// of the failure.
    pub probes: BTreeMap<String, String>,
    /// The reason why the stored rollout is not loaded yet, or `None` once it is. Until then,
    /// `rollout` is a placeholder or a [copy](crate::Controller::copies), and the weight does not
    /// rise.
    pub load_error: Option<String>,
    /// The replica that drives the rollout: it judges, advances the plan, runs the probes and asks the
    /// gates. `None` if it is not known, and meaningless if no rollout is in progress.
    pub driver: Option<ReplicaId>,
    /// Whether this replica drives the rollout.
    pub is_driving: bool,
    /// The replicas of the rollout, as the driver hears them. `None` while no rollout is in progress,
    /// and until the driver has listed the board of the attempt.
    pub fleet: Option<Fleet>,
    /// Events that are in force here and not stored yet. Their numbers can still change.
    pub unsaved: Vec<Event>,
    /// The time since saves began to fail, or `None` if the latest save succeeded. The weight does
    /// not rise while saves fail.
    pub unsaved_for: Option<Duration>,
    /// The operations on the store that fail now in this process, the longest first.
    pub store_failures: Vec<StoreFailure>,
    /// The number of failures of each operation since the start of the process.
    pub(crate) store_failure_totals: BTreeMap<StoreOperation, u64>,
}

impl Status {
    pub(crate) fn of(
        replica: &Replica,
        at: Timestamp,
        judgment: &Arc<Judgment>,
        canary: &CanaryHandle,
        store_failures: Vec<StoreFailure>,
    ) -> Self {
        let rollout = replica.rollout();
        let load_error = match replica.store() {
            StoreState::Loading { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        let summary = match replica.store() {
            StoreState::Loading { reason, is_copy: true, .. } => {
                format!(
                    "the stored rollout is not loaded, a copy of this machine is in force: {reason}"
                )
            }
            // The rollout is a placeholder, which must not look like an idle one.
            StoreState::Loading { reason, .. } => {
                format!("the stored rollout is not loaded, the weight stays: {reason}")
            }
            _ => rollout.pending(at).to_string(),
        };
        let pending_plan = replica.pending_plan().cloned();
        let failure = store_failures.first().filter(|_| load_error.is_none());
        let notes =
            [pending_plan.as_ref().map(|_| NEW_PLAN.to_owned()), failure.map(ToString::to_string)];
        let summary =
            notes.into_iter().flatten().fold(summary, |summary, note| format!("{summary}; {note}"));
        Self {
            at,
            summary,
            allowed: rollout.allowed(),
            pending_plan,
            rollout: rollout.clone().with_sticky_secret(None),
            judgment: Arc::clone(judgment),
            sources: EvidenceSources::default(),
            weight: canary.weight(),
            open: PerChannel::from_fn(|channel| canary.open(channel)),
            counts: canary.counts(),
            traffic: None,
            probes: BTreeMap::new(),
            load_error,
            driver: replica.driver().cloned(),
            is_driving: replica.is_driving(),
            fleet: None,
            unsaved: replica.unsaved().to_vec(),
            unsaved_for: None,
            store_failures,
            store_failure_totals: BTreeMap::new(),
        }
    }

    /// Returns the observed share of calls on the canary since the weight was last changed,
    /// `0.0..=1.0`; `None` before the first call. The weight is the requested share.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        self.counts.current()?.counts.share()
    }
}

const NEW_PLAN: &str = "the plan of this process has changed, and applies from the next start";
