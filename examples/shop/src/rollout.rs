//! The rollout of version 2 with a plan.

mod completion;
mod event_printer;
mod plan_file;
mod routes;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use canary_admin::{Access, Admin};
use canary_controller::{
    AddError, Controller, Managed, Plan, RolloutHandle,
    probe::{ProbeRunner, ProbeTarget},
    store::{FileStore, MemoryStore},
};
use tower_canary::CanaryHandle;

use self::event_printer::EventPrinter;
pub(crate) use self::{
    completion::Completion, plan_file::read as read_plan, routes::router as routes,
};

/// A rollout, and the controller that runs it.
pub(crate) struct Rollout {
    controller: Controller,
    handle: RolloutHandle,
    admin: Admin,
    printer: EventPrinter,
}

impl Rollout {
    /// Starts the plan, or continues the rollout that is stored in the directory.
    pub(crate) async fn start(
        canary: CanaryHandle,
        v2: Router,
        (file, plan): (&Path, Plan),
        state: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let controller = match state {
            Some(directory) => Controller::new(FileStore::open(directory).await?),
            None => Controller::new(MemoryStore::new()),
        };
        let printer = EventPrinter::new();
        let probes = ProbeRunner::new().target(ProbeTarget::router(v2));
        let managed = Managed::new(canary, plan).probes(probes).auto_start();
        let handle = controller.add(managed).map_err(|error| match error {
            AddError::Plan(unmet) => plan_file::unmet(file, &unmet),
            error => error.into(),
        })?;
        let admin = Admin::builder(Access::loopback()).environment("shop", "#1f6feb").build();
        admin.watch(&controller);
        Ok(Self { controller, handle, admin, printer })
    }

    pub(crate) fn handle(&self) -> RolloutHandle {
        self.handle.clone()
    }

    /// Returns the API and the page for operators.
    pub(crate) fn admin(&self) -> Admin {
        self.admin.clone()
    }

    /// Prints events until the rollout has ended.
    pub(crate) async fn print_to_the_end(&mut self) -> anyhow::Result<()> {
        let mut changes = self.handle.watch();
        loop {
            changes.changed().await.context("the controller has stopped")?;
            let status = changes.borrow_and_update().clone();
            self.printer.print(&status);
            // The next process must see the same end, so wait until it is stored.
            if Completion::of(&status) != Completion::Unfinished && status.unsaved_for.is_none() {
                return Ok(());
            }
        }
    }

    /// Prints events after the end as well: the operator may restart the rollout.
    pub(crate) async fn print_forever(&mut self) -> anyhow::Result<()> {
        loop {
            self.print_to_the_end().await?;
        }
    }

    /// Stops the controller and prints the result.
    pub(crate) async fn stop(self) -> Completion {
        self.controller.stop().await;
        let status = self.handle.status();
        let completion = Completion::of(&status);
        println!("\n{}", completion.sentence(&status.summary, &self.handle.canary().counts()));
        completion
    }
}
