use std::{collections::VecDeque, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use canary_core::Weight;
use canary_rollout::{Command, Order, Plan, Releases, Rollout, Transition, event::Event};
use futures_util::FutureExt;
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior},
};
use tower_canary::{
    CanaryHandle,
    control::{ControlExt, Owner},
};

use crate::{
    clock::Clock,
    driver::{
        attempt_judge::AttemptJudge,
        documents::{DocumentKeys, Documents},
        plan_tasks::PlanTasks,
        save::UnconfirmedSave,
        variables::VariableControl,
    },
    effects::Effects,
    handle::CommandError,
    isolated::panic_message,
    status::Status,
    store::StateStore,
    weight_lock::{RollbackHold, WeightLock},
};

/// Runs the rollout of one canary until it is stopped.
pub(crate) struct Driver {
    pub(super) settings: DriverSettings,
    pub(super) clock: Clock,
    pub(super) effects: Arc<Effects>,

    // The data plane.
    pub(super) canary: CanaryHandle,
    /// The claim on the canary. Only the driver can promote it.
    pub(super) owner: Owner,
    pub(super) weight_lock: Arc<WeightLock>,
    /// The weight that the driver has last set on the data plane.
    pub(super) applied_weight: Weight,

    pub(super) variables: VariableControl,

    // The rollout.
    /// The rollout in force. It is a placeholder while `load_error` is set.
    pub(super) rollout: Rollout,
    pub(super) judge: AttemptJudge,
    /// Canary calls that the judge has observed in ticks whose transition was not applied.
    pub(super) uncounted_calls: u64,
    pub(super) tasks: PlanTasks,
    /// Commands to execute next, without a waiting caller.
    pub(super) queued_orders: VecDeque<(Order, Option<RollbackHold>)>,

    // The store.
    pub(super) documents: Documents,
    /// The reason why the stored rollout is not loaded yet.
    pub(super) load_error: Option<String>,
    /// The time at which the rollout in force became unsaved; `None` if it is saved.
    pub(super) unsaved_since: Option<Instant>,
    /// The time at which saves began to fail; `None` if the latest save succeeded.
    pub(super) failing_since: Option<Instant>,
    /// A save with an unknown result. Its rollout is not in force.
    pub(super) unconfirmed: Option<UnconfirmedSave>,
    /// Whether a watch has reported a stored rollout that is not loaded yet.
    pub(super) is_behind: bool,

    // Outputs.
    pub(super) status: watch::Sender<Arc<Status>>,
    pub(super) events: broadcast::Sender<Event>,
}

/// The configuration of a driver.
pub(crate) struct DriverSettings {
    pub(crate) plan: Plan,
    pub(crate) releases: Releases,
    pub(crate) auto_start: bool,
    pub(crate) interval: Duration,
}

/// The receiving ends of a driver's channels.
pub(crate) struct DriverInputs {
    pub(crate) requests: mpsc::UnboundedReceiver<CommandRequest>,
    pub(crate) stop: oneshot::Receiver<()>,
}

/// A command and the sender for its result.
pub(crate) struct CommandRequest {
    pub(crate) order: Order,
    /// The generation that the rollout must have, if any.
    pub(crate) generation: Option<u64>,
    pub(crate) response: oneshot::Sender<Result<Transition, CommandError>>,
    /// Blocks weight increases until the command is executed. Present if the handle has already
    /// rolled the canary back.
    pub(crate) hold: Option<RollbackHold>,
}

impl Driver {
    pub(crate) fn new(
        canary: CanaryHandle,
        settings: DriverSettings,
        (store, keys): (Arc<dyn StateStore>, DocumentKeys),
        clock: Clock,
        effects: Arc<Effects>,
        weight_lock: Arc<WeightLock>,
    ) -> Self {
        let DriverSettings { plan, releases, .. } = &settings;
        let rollout = Rollout::new(canary.name().clone(), releases.clone(), plan.clone());
        let judge = AttemptJudge::new(rollout.attempt(), plan, &canary, &weight_lock);
        let load_error = Some("it has not been loaded yet".to_owned());
        let mut status = Status::of(&rollout, clock.now(), &judge.judgment(), &canary);
        status.load_error.clone_from(&load_error);
        Self {
            settings,
            clock,
            tasks: PlanTasks::new(Arc::clone(&effects)),
            effects,
            owner: canary.claim("use `RolloutHandle::promote`"),
            variables: VariableControl::new(&canary),
            canary,
            weight_lock,
            applied_weight: Weight::ZERO,
            rollout,
            judge,
            uncounted_calls: 0,
            queued_orders: VecDeque::new(),
            documents: Documents::new(store, keys),
            load_error,
            unsaved_since: None,
            failing_since: None,
            unconfirmed: None,
            is_behind: false,
            status: watch::Sender::new(Arc::new(status)),
            events: broadcast::Sender::new(EVENT_CAPACITY),
        }
    }

    pub(crate) fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    pub(crate) fn events(&self) -> broadcast::Sender<Event> {
        self.events.clone()
    }

    /// Runs until `inputs.stop` is closed. If the driver panics, the weight stays as it is.
    pub(crate) async fn run(self, inputs: DriverInputs) {
        let name = self.canary.name().clone();
        if let Err(panic) = AssertUnwindSafe(self.drive(inputs)).catch_unwind().await {
            let message = panic_message(panic);
            tracing::error!(
                target: TARGET, canary = %name,
                "the controller of this canary has panicked and stopped, the weight stays: {message}",
            );
        }
    }

    async fn drive(mut self, inputs: DriverInputs) {
        let DriverInputs { mut requests, mut stop } = inputs;
        let mut interval = tokio::time::interval(self.settings.interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.documents.watch();
        loop {
            // Ticks take priority, so that a flood of commands cannot starve the judge.
            tokio::select! {
                biased;
                _ = &mut stop => break,
                () = self.weight_lock.tripped() => self.tick().await,
                _ = interval.tick() => {
                    self.tick().await;
                    // After a slow tick, commands get a turn before the next tick.
                    interval.reset();
                }
                Some(request) = requests.recv() => self.handle_request(request).await,
                Some(report) = self.tasks.receiver.recv() => {
                    self.tasks.record(report);
                    self.tasks.record_received();
                    self.tick().await;
                }
                change = changes.next() => {
                    self.note_change(&change);
                    self.reload_if_behind().await;
                }
                Some(result) = self.tasks.running.join_next() => {
                    if let Err(error) = result {
                        let name = self.canary.name();
                        tracing::error!(target: TARGET, canary = %name, "{error}");
                    }
                }
            }
            self.run_queued().await;
        }
        self.finish(requests).await;
    }

    /// Executes the remaining rollbacks and halts, and stores the rollout for the next process.
    async fn finish(&mut self, mut requests: mpsc::UnboundedReceiver<CommandRequest>) {
        requests.close();
        while let Ok(request) = requests.try_recv() {
            if is_immediate(&request.order.command) {
                self.handle_request(request).await;
            }
        }
        if self.load_error.is_none() {
            self.reconcile_handle();
            self.run_queued().await;
            if self.weight_lock.has_trip() {
                self.decide().await;
                self.run_queued().await;
            }
        }
        self.save_current().await;
        self.publish_status();
    }

    /// Follows the store and the application, and lets the state machine decide.
    async fn tick(&mut self) {
        if self.load_error.is_some() {
            self.load().await;
        } else {
            self.reload_if_behind().await;
            self.retry_save().await;
            self.reconcile_handle();
            self.run_queued().await;
            self.decide().await;
        }
        self.start_if_idle();
        self.canary.note_decision();
        self.publish_status();
    }

    pub(super) fn publish_status(&self) {
        let judgment = self.judge.judgment();
        let mut status = Status::of(&self.rollout, self.clock.now(), &judgment, &self.canary);
        status.sources = self.judge.sources(&self.canary);
        status.unsaved_for = self.failing_since.map(|since| since.elapsed());
        status.load_error.clone_from(&self.load_error);
        status.probes.clone_from(&self.tasks.probe_results);
        self.status.send_replace(Arc::new(status));
    }
}

/// Returns whether a command takes effect before it is stored, and at any generation.
pub(super) const fn is_immediate(command: &Command) -> bool {
    matches!(command, Command::RollBack | Command::Halt)
}

/// The number of events that a subscriber may lag behind before it misses some.
const EVENT_CAPACITY: usize = 256;
/// The number of attempts to apply a tick or command while other replicas store the rollout.
pub(super) const MAX_ATTEMPTS: usize = 5;
pub(super) const TARGET: &str = "canary_controller";
