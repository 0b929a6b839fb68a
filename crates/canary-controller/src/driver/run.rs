use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Actor, Command, Event, GateAnswer, OnDegraded, Order, Phase, Plan, ProbeOutcome, Releases,
    Rollout, Tick, Transition,
};
use futures_util::FutureExt;
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tower_canary::{
    CanaryHandle,
    control::{ControlExt, Owner},
};

use crate::{
    Clock, CommandError, Status,
    driver::{
        attempt_judge::Evidence,
        documents::{Documents, Keys},
        save::{Carried, Pending},
    },
    effects::Effects,
    isolated::panic_message,
    store::StateStore,
    weight_lock::{Alarm, TakenBack},
};

/// Runs the rollout of one canary, until it is stopped.
pub(crate) struct Driver {
    pub(super) canary: CanaryHandle,
    /// Only the driver can promote the canary while this exists.
    pub(super) owner: Owner,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) documents: Documents,
    /// What is in force; nothing that was stored is known while `unloaded` says why.
    pub(super) rollout: Rollout,
    /// Why the stored rollout is not known yet; none once it is.
    pub(super) unloaded: Option<String>,
    pub(super) evidence: Evidence,
    pub(super) effects: Arc<Effects>,
    pub(super) alarm: Arc<Alarm>,
    /// Since when what is in force could not be stored.
    pub(super) unsaved: Option<Instant>,
    /// Since when nothing could be stored.
    pub(super) failing: Option<Instant>,
    /// What may have been stored, and is not in force.
    pub(super) pending: Option<Pending>,
    /// Whether the store is said to have another rollout than ours.
    pub(super) is_behind: bool,
    /// The weight that was last put into force here.
    pub(super) put: Weight,
    /// Commands that nobody waits for, to be done next.
    pub(super) owed: VecDeque<(Order, Option<TakenBack>)>,
    /// The canary's calls that no tick has counted, as it could not be carried out.
    pub(super) uncounted: u64,
    pub(super) heard: Heard,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    pub(super) report: mpsc::UnboundedSender<Report>,
    pub(super) errands: JoinSet<()>,
    /// Gates that have not said yet what they were asked.
    pub(super) asked: BTreeSet<String>,
    pub(super) probes: BTreeMap<String, String>,
    pub(super) status: watch::Sender<Arc<Status>>,
    pub(super) events: broadcast::Sender<Event>,
}

/// What a driver is told when it is made.
pub(crate) struct Settings {
    pub(crate) plan: Plan,
    pub(crate) releases: Releases,
    pub(crate) auto_start: bool,
    pub(crate) every: Duration,
}

/// The other ends of what a driver speaks and listens to.
pub(crate) struct Lines {
    pub(crate) requests: mpsc::UnboundedReceiver<Request>,
    pub(crate) stop: oneshot::Receiver<()>,
}

/// A command, and where the answer goes.
pub(crate) struct Request {
    pub(crate) order: Order,
    /// The generation that whoever gives it has seen; any will do, if none.
    pub(crate) generation: Option<u64>,
    pub(crate) answer: oneshot::Sender<Result<Transition, CommandError>>,
    /// There if the canary was taken back already, until the rollout knows.
    pub(crate) taken_back: Option<TakenBack>,
}

/// What somebody who was asked has said.
pub(crate) enum Report {
    Probe(String, ProbeOutcome),
    Gate(String, GateAnswer),
}

/// What was said since the last tick.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) probes: Vec<(String, ProbeOutcome)>,
    pub(super) gates: Vec<(String, GateAnswer)>,
}

impl Driver {
    pub(crate) fn new(
        canary: CanaryHandle,
        settings: Settings,
        (store, keys): (Arc<dyn StateStore>, Keys),
        clock: Clock,
        effects: Arc<Effects>,
        alarm: Arc<Alarm>,
    ) -> Self {
        let Settings { plan, releases, .. } = &settings;
        let rollout = Rollout::new(canary.name().clone(), releases.clone(), plan.clone());
        let evidence = Evidence::begin(rollout.attempt(), plan, &canary, &alarm);
        let (report, reports) = mpsc::unbounded_channel();
        let unloaded = Some("it has not been loaded yet".to_owned());
        let mut status = Status::of(&rollout, clock.now(), &evidence.judgment(), &canary);
        status.unloaded.clone_from(&unloaded);
        Self {
            documents: Documents::new(store, keys),
            rollout,
            unloaded,
            evidence,
            effects,
            alarm,
            unsaved: None,
            failing: None,
            pending: None,
            is_behind: false,
            put: Weight::ZERO,
            owed: VecDeque::new(),
            uncounted: 0,
            heard: Heard::default(),
            reports,
            report,
            errands: JoinSet::new(),
            asked: BTreeSet::new(),
            probes: BTreeMap::new(),
            status: watch::Sender::new(Arc::new(status)),
            events: broadcast::Sender::new(EVENTS_KEPT),
            owner: canary.claim("use `RolloutHandle::promote`"),
            canary,
            clock,
            settings,
        }
    }

    pub(crate) fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    pub(crate) fn events(&self) -> broadcast::Sender<Event> {
        self.events.clone()
    }

    /// Runs until it is told to stop. If it panics, the split keeps its weight.
    pub(crate) async fn run(self, lines: Lines) {
        let name = self.canary.name().clone();
        if let Err(panic) = AssertUnwindSafe(self.drive(lines)).catch_unwind().await {
            let said = panic_message(panic);
            tracing::error!(
                target: TARGET, canary = %name,
                "the controller panicked and is gone, the weight stays: {said}",
            );
        }
    }

    async fn drive(mut self, lines: Lines) {
        let Lines { mut requests, mut stop } = lines;
        let mut interval = tokio::time::interval(self.settings.every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.documents.watch();
        loop {
            // A tick is due before commands are, lest whoever gives many keeps the judge from looking.
            tokio::select! {
                biased;
                _ = &mut stop => break,
                () = self.alarm.rung() => self.tick().await,
                _ = interval.tick() => {
                    self.tick().await;
                    // A tick that took long is not followed by another at once: commands wait.
                    interval.reset();
                }
                Some(request) = requests.recv() => self.serve(request).await,
                Some(report) = self.reports.recv() => {
                    self.hear(report);
                    while let Ok(report) = self.reports.try_recv() {
                        self.hear(report);
                    }
                    self.tick().await;
                }
                change = changes.next() => {
                    self.follow(&change);
                    self.catch_up().await;
                }
                Some(errand) = self.errands.join_next() => {
                    if let Err(error) = errand {
                        tracing::error!(target: TARGET, canary = %self.canary.name(), "{error}");
                    }
                }
            }
            self.do_owed().await;
        }
        self.end(requests).await;
    }

    /// Stores what the next process must know.
    async fn end(&mut self, mut requests: mpsc::UnboundedReceiver<Request>) {
        requests.close();
        while let Ok(request) = requests.try_recv() {
            if goes_back(&request.order.command) {
                self.serve(request).await;
            }
        }
        if self.unloaded.is_none() {
            self.heed_code();
            self.do_owed().await;
            if self.alarm.is_rung() {
                self.decide().await;
                self.do_owed().await;
            }
        }
        self.save_progress().await;
        self.show();
    }

    /// Looks at the canary, and lets the plan go on.
    async fn tick(&mut self) {
        if self.unloaded.is_some() {
            self.load().await;
        } else {
            self.catch_up().await;
            self.save_again().await;
            self.heed_code();
            self.do_owed().await;
            self.decide().await;
        }
        self.start_if_idle();
        self.canary.note_decision();
        self.show();
    }

    async fn decide(&mut self) {
        if !self.is_ours() {
            return;
        }
        let found = self.alarm.hear();
        let calls = self.evidence.observe(&self.canary, self.rollout.weight());
        let calls = std::mem::take(&mut self.uncounted).saturating_add(calls);
        let judgment = self.evidence.judgment();
        let mut tick = match &found {
            // What the guard found holds, whatever came after it.
            Some(found) => Tick::new(Verdict::Degraded, found),
            None => Tick::new(judgment.verdict, judgment.to_string()),
        }
        .with_calls(calls);
        let Heard { probes, gates } = std::mem::take(&mut self.heard);
        (tick.probes, tick.answers) = (probes, gates);
        for _ in 0..ATTEMPTS {
            let (attempt, stage) = (self.rollout.attempt(), self.rollout.state().stage());
            if found.as_ref().is_some_and(|found| self.is_found_too_late(found)) {
                return;
            }
            let mut after = self.rollout.clone();
            let outcome = after.tick(self.clock.now(), &tick);
            match self.carry_out(after, &outcome).await {
                Carried::Done | Carried::Unsaved(_) => return,
                Carried::Undone(_) | Carried::Unknown(_) => break,
                Carried::Overtaken if self.rollout.attempt() != attempt => return,
                Carried::Overtaken if self.rollout.state().stage() != stage => {
                    tick.probes.clear();
                    tick.answers.clear();
                }
                Carried::Overtaken => {}
            }
        }
        // For the next tick.
        self.uncounted = calls;
        self.heard = Heard { probes: tick.probes, gates: tick.answers };
        if let Some(found) = found {
            self.owe(Order::new(Command::RollBack, Actor::Judge, found));
        }
    }

    /// Whether the rollout has gone on while the guard spoke, to where no verdict is heard. A promotion
    /// is taken back, then.
    fn is_found_too_late(&mut self, found: &str) -> bool {
        if is_watched(self.rollout.phase()) {
            return false;
        }
        self.alarm.is_known();
        if self.rollout.phase() == Phase::Promoted
            && self.rollout.plan().on_degraded() != OnDegraded::Freeze
        {
            self.owe(Order::new(Command::RollBack, Actor::Judge, found));
        }
        true
    }

    fn hear(&mut self, report: Report) {
        match report {
            Report::Probe(name, outcome) => {
                let said = match &outcome {
                    ProbeOutcome::Failed(how) => how.clone(),
                    _ => "passed".to_owned(),
                };
                self.probes.insert(name.clone(), said);
                self.heard.probes.push((name, outcome));
            }
            Report::Gate(name, answer) => {
                self.asked.remove(&name);
                self.heard.gates.push((name, answer));
            }
        }
    }

    pub(super) fn show(&self) {
        let judgment = self.evidence.judgment();
        let mut status = Status::of(&self.rollout, self.clock.now(), &judgment, &self.canary);
        status.unsaved = self.failing.map(|since| since.elapsed());
        status.unloaded.clone_from(&self.unloaded);
        status.probes.clone_from(&self.probes);
        self.status.send_replace(Arc::new(status));
    }
}

/// Whether a command holds whatever has happened meanwhile.
pub(crate) const fn goes_back(command: &Command) -> bool {
    matches!(command, Command::RollBack | Command::Halt)
}

/// Whether the canary is watched, so that a verdict has consequences.
pub(super) const fn is_watched(phase: Phase) -> bool {
    matches!(phase, Phase::Starting | Phase::Running | Phase::Paused | Phase::Baking)
}

/// Events that a slow subscriber can miss without being told that it missed some.
const EVENTS_KEPT: usize = 256;
/// How often a command is tried anew on what others have stored meanwhile.
pub(super) const ATTEMPTS: usize = 5;
pub(super) const TARGET: &str = "canary_controller";
