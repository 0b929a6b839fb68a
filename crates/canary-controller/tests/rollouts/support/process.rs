//! A process of a fleet.

use std::borrow::Borrow;

use canary_controller::{Controller, RolloutHandle, analysis::Finding};
use canary_core::PerChannel;
use canary_rollout::Command;
use tower_canary::CanaryOptions;

use super::{Shop, controller, managed, options, order, second, stored::TestStore};

pub(crate) struct Process {
    pub(crate) shop: Shop,
    pub(crate) controller: Controller,
    pub(crate) rollout: RolloutHandle,
}

impl Process {
    pub(crate) async fn new(store: &TestStore, plan: &str) -> Self {
        Self::with_options(store, plan, options()).await
    }

    pub(crate) async fn with_options(
        store: &TestStore,
        plan: &str,
        options: CanaryOptions,
    ) -> Self {
        let shop = Shop::with_options("v2", options);
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, plan)).unwrap();
        rollout.watch().wait_for(|status| status.load_error.is_none()).await.unwrap();
        Self { shop, controller, rollout }
    }

    pub(crate) async fn command(&self, command: Command) {
        self.rollout.command(order(command)).await.unwrap();
    }

    /// The calls that this process has counted.
    pub(crate) fn counted(&self) -> PerChannel<u64> {
        let evidence = self.shop.canary.counts().total().evidence;
        PerChannel::from_fn(|channel| evidence[channel].success + evidence[channel].failure)
    }

    /// The calls of the evidence that this process shows.
    pub(crate) fn judged(&self) -> PerChannel<u64> {
        self.rollout.status().judgment.findings[0].calls
    }

    /// The finding of this monitor that this process shows.
    pub(crate) fn finding(&self, monitor: &str) -> Finding {
        let status = self.rollout.status();
        status.judgment.findings.iter().find(|it| it.monitor == monitor).unwrap().clone()
    }

    pub(crate) fn is_driving(&self) -> bool {
        self.rollout.status().is_driving
    }

    pub(crate) fn heard(&self) -> String {
        self.rollout.status().fleet.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

pub(crate) fn sum(counts: impl IntoIterator<Item = PerChannel<u64>>) -> PerChannel<u64> {
    counts.into_iter().fold(PerChannel::default(), PerChannel::saturating_add)
}

/// Lets time pass, with `calls` calls per second to each process.
pub(crate) async fn seconds(processes: &[impl Borrow<Process>], count: u32, calls: u32) {
    for _ in 0..count {
        for process in processes {
            process.borrow().shop.calls(calls).await;
        }
        second(&processes[0].borrow().shop, 0).await;
    }
}
