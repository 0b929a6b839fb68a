use std::sync::Arc;

use canary_analysis::{Guard, Judge};
use canary_core::Snapshot;
use tower_canary::{CanaryHandle, control::ControlExt};

use crate::weight_lock::WeightLock;

/// The guard of one attempt in this process. It rolls back on the thread of a failing call.
pub(super) struct AttemptGuard {
    guard: Arc<LiveGuard>,
    /// The counts of this process when the guard's monitor began, if that was at a later step.
    begun_at: Option<Snapshot>,
}

type LiveGuard = Guard<Box<dyn Fn() -> Snapshot + Send + Sync>>;

impl AttemptGuard {
    /// Installs the guard of the judge, which has the counts of this process until `read`. Returns
    /// `None` if no monitor has a guard.
    pub(super) fn install(
        judge: &Judge,
        attempt: u64,
        read: Snapshot,
        canary: &CanaryHandle,
        weight_lock: &Arc<WeightLock>,
    ) -> Option<Self> {
        let live: Box<dyn Fn() -> Snapshot + Send + Sync> = {
            let canary = canary.downgrade();
            Box::new(move || canary.upgrade().map(|canary| canary.counts()).unwrap_or_default())
        };
        let guard = judge.guard(read, live).map(Arc::new);
        canary.on_canary_failure({
            let (guard, weight_lock) = (guard.clone(), Arc::clone(weight_lock));
            move |canary, weight| {
                if let Some(trip) = guard.as_ref().and_then(|guard| guard.canary_failed(weight)) {
                    weight_lock.trip(canary, attempt, trip.to_string());
                }
            }
        });
        guard.map(|guard| Self { guard, begun_at: None })
    }

    /// Divides `alpha` among the guards of this many replicas.
    pub(super) fn share_alpha(&self, replicas: usize) {
        self.guard.set_replicas(replicas);
    }

    /// Notes that the judge, with the monitors of its step, is about to reach this step. Returns whether
    /// the guard's monitor begins with it.
    pub(super) fn note_step(&mut self, judge: &Judge, step: usize, canary: &CanaryHandle) -> bool {
        let steps = judge.step() + 1..=step;
        let begins = judge.monitors().any(|monitor| {
            steps.contains(&monitor.starting_step()) && monitor.name() == self.guard.monitor()
        });
        if begins {
            self.begun_at = Some(canary.counts());
        }
        begins
    }

    /// Passes the evidence on to the guard, with the counts that it has. Those of the time before the
    /// guard's monitor began are none.
    pub(super) fn follow(&self, judge: &Judge, until: &Snapshot) {
        let begun_at = self.begun_at.as_ref().filter(|begun_at| begun_at.since(until).is_ok());
        self.guard.follow(judge, begun_at.unwrap_or(until).clone());
    }
}
