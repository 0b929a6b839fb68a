//! Version 2 by a plan: from its first call to all of them, or back.

mod ending;
mod plan_file;
mod routes;
mod story;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use canary_controller::{
    AddError, Controller, Managed, Plan, RolloutHandle,
    probe::{ProbeRunner, ProbeTarget},
    store::{FileStore, MemoryStore},
};
use tower_canary::CanaryHandle;

use self::story::Story;
pub(crate) use self::{ending::Ending, plan_file::read as read_plan, routes::router as routes};

/// A rollout, and the controller that runs it.
pub(crate) struct Rollout {
    controller: Controller,
    handle: RolloutHandle,
    story: Story,
}

impl Rollout {
    /// Runs the plan of a file: from where it was, if the directory has it stored, else from the start.
    pub(crate) async fn begin(
        canary: CanaryHandle,
        v2: Router,
        (file, plan): (&Path, Plan),
        state: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let controller = match state {
            Some(directory) => Controller::new(FileStore::open(directory).await?),
            None => Controller::new(MemoryStore::new()),
        };
        let story = Story::begin();
        let probes = ProbeRunner::new().target(ProbeTarget::router(v2));
        let managed = Managed::new(canary, plan).probes(probes).auto_start();
        let handle = controller.add(managed).map_err(|error| match error {
            AddError::Plan(unmet) => plan_file::unmet(file, &unmet),
            error => error.into(),
        })?;
        Ok(Self { controller, handle, story })
    }

    pub(crate) fn handle(&self) -> RolloutHandle {
        self.handle.clone()
    }

    /// Prints what happens, until the canary has every call or none.
    pub(crate) async fn tell_to_the_end(&mut self) -> anyhow::Result<()> {
        let mut changes = self.handle.watch();
        loop {
            changes.changed().await.context("the controller has stopped")?;
            let status = changes.borrow_and_update().clone();
            self.story.tell(&status);
            // An end that is not stored would be forgotten by the next process.
            if Ending::of(&status) != Ending::Open && status.unsaved_for.is_none() {
                return Ok(());
            }
        }
    }

    /// As [`tell_to_the_end`](Self::tell_to_the_end), and beyond it: somebody may restart.
    pub(crate) async fn tell_for_ever(&mut self) -> anyhow::Result<()> {
        loop {
            self.tell_to_the_end().await?;
        }
    }

    /// Stores what is to be stored, stops, and tells how it ended.
    pub(crate) async fn stop(self) -> Ending {
        self.controller.stop().await;
        let status = self.handle.status();
        let ending = Ending::of(&status);
        println!("\n{}", ending.sentence(&status.summary, &self.handle.canary().counts()));
        ending
    }
}
