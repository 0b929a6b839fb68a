use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use canary_analysis::Baseline;
use canary_rollout::{
    Command, Order, Tick,
    event::{Event, EventId},
    replica::{Build, Input, Replica, ReplicaId},
};
use futures_util::FutureExt;
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior},
};
use tower_canary::{CanaryHandle, control::ControlExt};

use crate::{
    clock::Clock,
    driver::{
        TARGET,
        attempt_judge::{AttemptJudge, default_unit},
        board::{Board, Presence},
        data_plane::DataPlane,
        decisions::Decisions,
        documents::{DocumentKeys, RolloutDocument},
        evidence::EvidenceDocument,
        in_force::InForce,
        local_copy::LocalCopy,
        patient_store::PatientStore,
        plan_tasks::{PlanTasks, Reports},
        quiet::Quiet,
        requests::{CommandRequest, PlanRequest, Request, Requests},
        store_health::StoreHealth,
        traffic_meter::TrafficMeter,
    },
    effects::Effects,
    isolated::panic_message,
    status::Status,
    store::StateStore,
    viewers::Viewers,
    weight_lock::WeightLock,
};

/// Runs the rollout of one canary until it is stopped.
pub(crate) struct Driver {
    pub(super) id: ReplicaId,
    pub(super) clock: Clock,
    pub(super) started: Instant,
    pub(super) interval: Duration,
    pub(super) effects: Arc<Effects>,

    /// Decides everything.
    pub(super) replica: Replica,
    pub(super) plane: DataPlane,
    pub(super) traffic: TrafficMeter,
    pub(super) judge: AttemptJudge,
    /// Whether the judge has observed the calls of the latest tick.
    pub(super) is_observing: bool,
    /// The time in which ticks can be left out. Each input of the state machine ends it.
    pub(super) quiet: Option<Quiet>,
    /// The time at which the driver last tried to store what the judge has learned.
    pub(super) learned_at: Instant,
    pub(super) tasks: PlanTasks,
    pub(super) in_force: InForce,

    pub(super) store: Arc<PatientStore>,
    pub(super) health: StoreHealth,
    pub(super) document: RolloutDocument,
    pub(super) local_copy: Option<LocalCopy>,
    pub(super) evidence: EvidenceDocument,
    pub(super) board: Board,
    /// Whether the latest load of the evidence has failed.
    pub(super) is_evidence_behind: bool,
    pub(super) decisions: Decisions,
    /// Whether to append events of the stored rollout to the history in the store.
    pub(super) appends_events: bool,

    pub(super) requests: Requests,
    pub(super) status: watch::Sender<Arc<Status>>,
    pub(super) viewers: Viewers,
    pub(super) events: broadcast::Sender<Arc<Event>>,
    pub(super) latest: watch::Sender<Option<EventId>>,
}

/// The parts of a driver that its controller provides.
pub(crate) struct DriverParts {
    pub(crate) canary: CanaryHandle,
    pub(crate) build: Build,
    pub(crate) interval: Duration,
    pub(crate) store: Arc<dyn StateStore>,
    /// The store of this machine for a copy.
    pub(crate) copies: Option<Arc<dyn StateStore>>,
    pub(crate) keys: DocumentKeys,
    pub(crate) clock: Clock,
    pub(crate) effects: Arc<Effects>,
    pub(crate) weight_lock: Arc<WeightLock>,
    pub(crate) viewers: Viewers,
}

/// The receiving ends of a driver's channels.
pub(crate) struct DriverInputs {
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
    pub(crate) stop: oneshot::Receiver<()>,
}

impl Driver {
    pub(crate) fn new(parts: DriverParts) -> Self {
        let DriverParts {
            canary,
            build,
            interval,
            store,
            copies,
            keys,
            clock,
            effects,
            weight_lock,
            viewers,
        } = parts;
        let id = ReplicaId::from_random(rand::random());
        let patient = Arc::new(PatientStore::new(store));
        let store: Arc<dyn StateStore> = Arc::clone(&patient) as _;
        let name = canary.name().clone();
        let replica = Replica::new(name.clone(), id.clone(), build);
        let rollout = replica.rollout();
        let (attempt, plan) = (rollout.attempt(), rollout.plan());
        let judge =
            AttemptJudge::new(attempt, plan, &Baseline::default(), None, &canary, &weight_lock);
        let status = Status::of(&replica, clock.now(), judge.judgment(), &canary, Vec::new());
        let driver = Self {
            started: Instant::now(),
            interval,
            tasks: PlanTasks::new(Arc::clone(&effects)),
            effects,
            in_force: InForce::of(rollout),
            replica,
            traffic: TrafficMeter::new(&canary.counts()),
            plane: DataPlane::new(canary, weight_lock),
            judge,
            is_observing: false,
            quiet: None,
            learned_at: Instant::now(),
            store: patient,
            health: StoreHealth::new(name),
            board: Board::new(Arc::clone(&store), keys.rollout.board(), id.clone()),
            local_copy: copies.map(|copies| LocalCopy::new(copies, keys.rollout.copy())),
            document: RolloutDocument::new(Arc::clone(&store), keys.rollout),
            evidence: EvidenceDocument::new(store, keys.evidence, id.clone()),
            is_evidence_behind: false,
            decisions: Decisions::default(),
            appends_events: false,
            requests: Requests::default(),
            status: watch::Sender::new(Arc::new(status)),
            viewers,
            events: broadcast::Sender::new(EVENT_CAPACITY),
            latest: watch::Sender::new(None),
            id,
            clock,
        };
        driver.register_receivers(&driver.in_force.plan);
        driver
    }

    pub(crate) fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    pub(crate) fn events(&self) -> broadcast::Sender<Arc<Event>> {
        self.events.clone()
    }

    pub(crate) fn latest(&self) -> watch::Receiver<Option<EventId>> {
        self.latest.subscribe()
    }

    /// Runs until `inputs.stop` is closed. If the driver panics, the weight stays as it is.
    ///
    /// It is boxed, because a future has room for each argument that it passes on: the task would be six
    /// times as large.
    pub(crate) async fn run(self: Box<Self>, inputs: DriverInputs) {
        let name = self.plane.canary.name().clone();
        if let Err(panic) = AssertUnwindSafe(self.drive(inputs)).catch_unwind().await {
            let message = panic_message(panic);
            tracing::error!(
                target: TARGET, canary = %name,
                "the controller of this canary has panicked and stopped, the weight stays: {message}",
            );
        }
    }

    async fn drive(mut self: Box<Self>, inputs: DriverInputs) {
        let DriverInputs { mut requests, mut stop } = inputs;
        let mut interval = tokio::time::interval(self.interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let weight_lock = Arc::clone(&self.plane.weight_lock);
        let (mut rollouts, mut evidence) = (self.document.watch(), self.evidence.watch());
        loop {
            // Ticks take priority, so that a flood of commands cannot starve the judge.
            tokio::select! {
                biased;
                _ = &mut stop => break,
                () = weight_lock.tripped() => self.tick().await,
                _ = interval.tick() => {
                    self.tick_unless_quiet().await;
                    // After a slow tick, commands get a turn before the next tick.
                    interval.reset();
                }
                Some(request) = requests.recv() => self.request(request).await,
                Some(report) = self.tasks.receiver.recv() => {
                    self.tasks.record(*report);
                    self.tasks.record_received();
                    self.tick().await;
                }
                change = rollouts.next() => {
                    self.note_watch(&self.document.path.clone(), &change);
                    if self.document.is_news(&change) {
                        self.feed(Input::StoreChanged).await;
                        self.publish_status();
                    }
                }
                change = evidence.next() => {
                    self.note_watch(&self.evidence.path.clone(), &change);
                    if self.evidence.is_news(&change) {
                        self.follow_evidence().await;
                        self.publish_status();
                    }
                }
                Some(result) = self.tasks.running.join_next() => {
                    if let Err(error) = result {
                        let name = self.plane.canary.name();
                        tracing::error!(target: TARGET, canary = %name, "{error}");
                    }
                }
            }
        }
        self.finish(requests).await;
    }

    /// Observes the calls and the data plane, and lets the state machine decide.
    pub(super) async fn tick(&mut self) {
        self.store.try_again();
        self.traffic.observe(&self.plane.canary.counts());
        let before = Arc::clone(&self.status.borrow());
        let observed = self.plane.observe();
        if let Some(observed) = observed.clone() {
            self.feed(Input::DataPlane(observed)).await;
        }
        let trip = if self.replica.is_loaded() { self.plane.weight_lock.take_trip() } else { None };
        self.exchange_counts().await;
        let tick = self.observe();
        let next = tick.without_observations();
        self.appends_events = true;
        self.feed(Input::Tick { tick: Box::new(tick), trip }).await;
        if !self.replica.is_loaded() {
            self.begin_with_copy().await;
        }
        if self.is_evidence_behind {
            self.follow_evidence().await;
        }
        self.save_learned().await;
        self.plane.canary.note_decision();
        self.publish_status();
        self.quiet = self.quiet_after(&next, observed, &before);
    }

    /// Gives the judge the calls since the last tick, if the evidence is the one of this replica: those
    /// of all replicas while a rollout is in progress. At a weight of zero, the calls are no evidence:
    /// the judge learns what is usual for stable.
    fn observe(&mut self) -> Tick {
        // The process before may have stopped between the step and its evidence.
        self.reach_step();
        let is_judging = self.is_known() && self.replica.holds_evidence();
        let is_learning = self.is_learning();
        let weight = self.replica.rollout().weight();
        if is_learning && !is_judging && !self.is_observing {
            // The evidence of another replica does not get the earlier calls of this one.
            self.judge.skip(&self.plane.canary);
        }
        self.is_observing = is_judging || is_learning;
        let calls = match (self.is_observing, self.replica.takes_part()) {
            // Its keys are published for the driver.
            (false, true) => 0,
            (false, false) => {
                self.judge.skip_keys();
                0
            }
            (true, true) => self.look(weight).unwrap_or(0),
            (true, false) => {
                self.judge.learn(&self.id, &self.plane.canary);
                0
            }
        };
        let judgment = Arc::clone(self.judge.judgment());
        let Reports { probes, gates } = std::mem::take(&mut self.tasks.reports);
        let fleet = self.fleet();
        let heard = fleet.as_ref().filter(|fleet| fleet.of > 1).map(ToString::to_string);
        let warning = self.judge.sources(&self.plane.canary).warning();
        let evidence = [heard, warning]
            .into_iter()
            .flatten()
            .fold(judgment.to_string(), |evidence, note| format!("{evidence}; {note}"));
        let mut tick = Tick::new(judgment.verdict, evidence)
            .with_calls(calls)
            .with_warm_up_left(judgment.warm_up_left())
            .with_fleet(fleet);
        (tick.probes, tick.answers) = (probes, gates);
        tick
    }

    async fn request(&mut self, request: Request) {
        match request {
            Request::Command(request) => self.command(*request).await,
            Request::Plan(request) => {
                let PlanRequest { plan, by, reason, seen, requested_at, response } = *request;
                self.store.try_again_for(requested_at);
                let id = self.requests.open(response, None);
                let plan = Box::new(plan);
                self.feed(Input::Plan { id, plan, by, reason, seen }).await;
                self.publish_status();
            }
        }
    }

    /// Passes on a command. Skips one whose caller has gone, unless it is a rollback or halt.
    async fn command(&mut self, request: CommandRequest) {
        let CommandRequest { order, seen, requested_at, response, hold } = request;
        self.store.try_again_for(requested_at);
        if response.is_closed() && !is_immediate(&order) {
            return;
        }
        if self.quiet.is_some() && !is_immediate(&order) {
            // The time of the ticks that were left out belongs to the stage before the command.
            self.tick().await;
        }
        if matches!(order.command, Command::SetVariables(_)) {
            if !self.replica.is_loaded() {
                self.tick().await;
            }
            let (rollout, now) = (self.replica.rollout(), self.clock.now());
            if let Err(error) = self.plane.check_variables(rollout, now, &order) {
                // Fails if the caller has gone.
                let _ = response.send(Err(error.into()));
                return;
            }
        }
        let id = self.requests.open(response, hold);
        self.feed(Input::Command { id, order, seen }).await;
        self.publish_status();
    }

    /// Executes the remaining rollbacks and halts, and stores the rollout for the next process.
    async fn finish(&mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        self.store.try_again();
        requests.close();
        while let Ok(request) = requests.try_recv() {
            if let Request::Command(request) = request
                && is_immediate(&request.order)
            {
                self.command(*request).await;
            }
        }
        if self.plane.weight_lock.has_trip() {
            self.tick().await;
        } else if let Some(observed) = self.plane.observe() {
            self.feed(Input::DataPlane(observed)).await;
        }
        self.appends_events = true;
        self.feed(Input::Stop).await;
        if self.replica.takes_part() {
            self.judge.read(&self.plane.canary);
            self.judge.collect_keys();
            let _ = self.publish_counts(Presence::Leaves).await;
        }
        if self.replica.is_driving() || self.is_learning() {
            self.release_evidence().await;
        }
        self.publish_status();
    }

    pub(super) fn publish_status(&self) {
        let judgment = self.judge.judgment();
        let (now, canary) = (self.clock.now(), &self.plane.canary);
        let failures = self.health.failures();
        let mut status = Status::of(&self.replica, now, judgment, canary, failures);
        status.fleet = self.fleet();
        status.store_failure_totals = self.health.totals();
        status.sources = self.judge.sources(canary).with_client_made(&status.counts);
        let traffic = self.traffic.traffic();
        status.traffic = traffic.map(|traffic| traffic.counted_by(default_unit(canary)));
        let failing = self.replica.store().failing_since();
        status.unsaved_for = failing.map(|since| self.started.elapsed().saturating_sub(since));
        status.probes.clone_from(&self.tasks.probe_results);
        self.status.send_replace(Arc::new(status));
    }
}

const fn is_immediate(order: &Order) -> bool {
    matches!(order.command, Command::RollBack | Command::Halt)
}

/// The number of events that a subscriber may lag behind before it misses some. The room for pointers to
/// them is allocated in advance, for each canary.
const EVENT_CAPACITY: usize = 32;
