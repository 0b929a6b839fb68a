//! Version 2 by a plan: from its first call to all of them, or back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use canary_controller::{
    Controller, Managed, RolloutHandle,
    store::{FileStore, MemoryStore},
};
use canary_rollout::{Phase, Plan};
use tower_canary::CanaryHandle;

/// A rollout, and the controller that runs it.
pub(crate) struct Rollout {
    controller: Controller,
    handle: RolloutHandle,
}

impl Rollout {
    /// Runs the plan from where it is, if it was stored.
    pub(crate) async fn begin(
        canary: CanaryHandle,
        plan: &Path,
        state: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let text =
            fs::read_to_string(plan).with_context(|| format!("cannot read {}", plan.display()))?;
        let plan = Plan::from_toml(&text).with_context(|| format!("in {}", plan.display()))?;
        let controller = match state {
            Some(directory) => Controller::new(FileStore::open(directory).await?),
            None => Controller::new(MemoryStore::new()),
        };
        let handle = controller.add(Managed::new(canary, plan).starts_by_itself())?;
        Ok(Self { controller, handle })
    }

    /// Prints what happens, until the canary has every call or none.
    pub(crate) async fn tell_to_the_end(&self) -> anyhow::Result<()> {
        let mut events = self.handle.events();
        let mut status = self.handle.watch();
        loop {
            tokio::select! {
                biased;
                event = events.recv() => println!("\n  ── {}\n", event?),
                changed = status.changed() => {
                    changed?;
                    let status = status.borrow_and_update();
                    let is_over = matches!(
                        status.rollout.phase(),
                        Phase::Promoted | Phase::RolledBack | Phase::Halted
                    );
                    if is_over && status.unsaved.is_none() {
                        println!("the rollout is over: {}", status.waits);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Stores what is to be stored, and stops.
    pub(crate) async fn stop(self) {
        self.controller.stop().await;
    }
}
