//! The rollout of version 2, with a plan or by hand.

mod completion;
mod event_printer;
mod plan_file;

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use canary_admin::{Access, Admin};
use canary_controller::{
    Actor, AddError, Controller, Managed, Plan, RolloutHandle, Status,
    probe::{ProbeRunner, ProbeTarget},
    store::{FileStore, MemoryStore},
};
use tokio::sync::watch;
use tower_canary::{CanaryHandle, Weight};

pub(crate) use self::plan_file::read as read_plan;
use self::{completion::Completion, event_printer::EventPrinter};
use crate::{cli::Options, store};

/// A rollout, and the controller that runs it.
pub(crate) struct Rollout {
    controller: Controller,
    handle: RolloutHandle,
    admin: Admin,
    printer: EventPrinter,
}

impl Rollout {
    /// Starts the plan, or continues the rollout that is in the store. An operator may have to start it.
    pub(crate) async fn start(
        canary: CanaryHandle,
        v2: Router,
        (file, plan): (&Path, Plan),
        options: &Options,
    ) -> anyhow::Result<Self> {
        let printer = EventPrinter::new();
        let controller = match &options.store {
            Some(url) => store::controller(url, options.store_password_file.as_deref()).await?,
            None => Controller::new(MemoryStore::new()),
        };
        let controller = match &options.copies {
            Some(directory) => controller.copies(FileStore::open(directory).await?),
            None => controller,
        };
        let probes = ProbeRunner::new().target(ProbeTarget::router(v2));
        let managed = Managed::new(canary, plan).probes(probes);
        let managed = if options.wait_for_start { managed } else { managed.auto_start() };
        let handle = controller.add(managed).map_err(|error| match error {
            AddError::Plan(unmet) => plan_file::unmet(file, &unmet),
            error => error.into(),
        })?;
        // The first calls are split as those of the other shops.
        if !controller.ready(STORE_LIMIT).await {
            let weight = handle.status().weight;
            tracing::warn!(
                "the store has no answer yet: version 2 gets {weight} of the calls until then"
            );
        }
        Ok(Self::new(controller, handle, printer, access(options)?))
    }

    /// Starts at a weight that only operators change.
    pub(crate) async fn by_hand(canary: CanaryHandle, options: &Options) -> anyhow::Result<Self> {
        let printer = EventPrinter::new();
        let controller = Controller::new(MemoryStore::new());
        let handle = controller.add(Managed::by_hand(canary))?;
        let (shop, reason) = (|| Actor::program("the shop"), "the weight of the command line");
        handle.start(shop(), "").await?;
        match options.weight {
            Weight::ZERO => {}
            Weight::FULL => drop(handle.promote_fully(shop(), reason).await?),
            weight => drop(handle.set_weight(shop(), weight, reason).await?),
        }
        Ok(Self::new(controller, handle, printer, access(options)?))
    }

    fn new(
        controller: Controller,
        handle: RolloutHandle,
        printer: EventPrinter,
        access: Access,
    ) -> Self {
        let admin = Admin::builder(access).environment("demo", "#1f6feb").build();
        admin.watch(&controller);
        Self { controller, handle, admin, printer }
    }

    /// Returns the API and the page for operators.
    pub(crate) fn admin(&self) -> Admin {
        self.admin.clone()
    }

    /// Prints events until the rollout has ended. Without a plan it has no end.
    pub(crate) async fn print_to_the_end(&mut self) -> anyhow::Result<()> {
        let mut changes = self.handle.watch();
        while self.print_next(&mut changes).await? == Completion::Unfinished {}
        Ok(())
    }

    /// Prints events after the end as well: the operator may restart the rollout.
    pub(crate) async fn print_forever(&mut self) -> anyhow::Result<()> {
        let mut changes = self.handle.watch();
        loop {
            self.print_next(&mut changes).await?;
        }
    }

    /// Prints the new events of the next status.
    async fn print_next(
        &mut self,
        changes: &mut watch::Receiver<Arc<Status>>,
    ) -> anyhow::Result<Completion> {
        changes.changed().await.context("the controller has stopped")?;
        let status = changes.borrow_and_update().clone();
        self.printer.print(&status);
        // The next process must see the same end, so wait until it is stored.
        let is_stored = status.unsaved_for.is_none();
        Ok(if is_stored { Completion::of(&status) } else { Completion::Unfinished })
    }

    /// Stops the controller, and prints the result of a plan.
    pub(crate) async fn stop(self) -> ExitCode {
        self.controller.stop().await;
        let status = self.handle.status();
        if status.rollout.plan().is_by_hand() {
            return ExitCode::SUCCESS;
        }
        let completion = Completion::of(&status);
        println!("\n{}", completion.sentence(&status.summary, &self.handle.canary().counts()));
        completion.into()
    }
}

fn access(options: &Options) -> anyhow::Result<Access> {
    Ok(match &options.tokens {
        Some(file) => Access::tokens(file)?,
        None => Access::loopback(),
    })
}

/// The time that the shop waits for the stored rollout before it serves.
const STORE_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, task};
    use tower_canary::{CanaryLayer, CanaryOptions};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_shop_that_stays_after_the_end_waits_for_a_change() {
        let controller = Controller::new(MemoryStore::new());
        let plan = Plan::from_toml("steps = [{ weight = '1%' }]").unwrap();
        let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
        let canary = CanaryLayer::with_options("shop", Router::<()>::new(), options).handle();
        let handle = controller.add(Managed::new(canary, plan)).unwrap();
        handle.start(Actor::person("ada"), "").await.unwrap();
        handle.roll_back(Actor::person("ada"), "").await.unwrap();
        let mut rollout = Rollout::new(controller, handle, EventPrinter::new(), Access::loopback());
        rollout.print_to_the_end().await.unwrap();
        let mut printing = task::spawn(rollout.print_forever());
        // The driver may still publish what it has stored.
        for _ in 0..100 {
            assert_pending!(printing.poll());
            tokio::task::yield_now().await;
            if !printing.is_woken() {
                return;
            }
        }
        panic!("it never waits");
    }
}
