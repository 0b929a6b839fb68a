//! The loop that runs the rollout of one canary.

mod document;
mod evidence;
mod ledgers;
mod others;
mod perform;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Actor, Answer, Command, Event, Order, Outcome, Phase, Plan, ProbeOutcome, Releases, Rollout,
    Tick,
};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tower_canary::CanaryHandle;

use self::{document::Documents, evidence::Evidence, perform::Carried};
pub(crate) use self::{document::Keys, ledgers::kind};
use crate::{Clock, CommandError, Status, alarm::Alarm, effects::Effects, store::StateStore};

/// Runs the rollout of one canary, until it is stopped.
pub(crate) struct Driver {
    canary: CanaryHandle,
    clock: Clock,
    settings: Settings,
    documents: Documents,
    /// What is in force; nothing that was stored is known before `loaded`.
    rollout: Rollout,
    /// Why the stored rollout is not known yet; none once it is.
    unloaded: Option<String>,
    evidence: Evidence,
    effects: Arc<Effects>,
    alarm: Arc<Alarm>,
    /// Since when what is in force could not be stored.
    unsaved: Option<Instant>,
    /// Commands that nobody waits for, to be done next.
    owed: VecDeque<Order>,
    heard: Heard,
    reports: mpsc::UnboundedReceiver<Report>,
    report: mpsc::UnboundedSender<Report>,
    errands: JoinSet<()>,
    /// Gates that have not said yet what they were asked.
    asked: BTreeSet<String>,
    probes: BTreeMap<String, String>,
    status: watch::Sender<Arc<Status>>,
    events: broadcast::Sender<Event>,
}

/// What a driver is told when it is made.
pub(crate) struct Settings {
    pub(crate) plan: Plan,
    pub(crate) releases: Releases,
    pub(crate) starts_by_itself: bool,
    pub(crate) every: Duration,
}

/// The other ends of what a driver speaks and listens to.
pub(crate) struct Lines {
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) stop: oneshot::Receiver<()>,
}

/// A command, and where the answer goes.
pub(crate) struct Request {
    pub(crate) order: Order,
    /// The generation that whoever gives it has seen; any will do, if none.
    pub(crate) generation: Option<u64>,
    pub(crate) answer: oneshot::Sender<Result<Outcome, CommandError>>,
}

/// What somebody who was asked has said.
pub(crate) enum Report {
    Probe(String, ProbeOutcome),
    Gate(String, Answer),
}

/// What was said since the last tick.
#[derive(Default)]
struct Heard {
    probes: Vec<(String, ProbeOutcome)>,
    gates: Vec<(String, Answer)>,
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
            owed: VecDeque::new(),
            heard: Heard::default(),
            reports,
            report,
            errands: JoinSet::new(),
            asked: BTreeSet::new(),
            probes: BTreeMap::new(),
            status: watch::Sender::new(Arc::new(status)),
            events: broadcast::Sender::new(EVENTS_KEPT),
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

    pub(crate) async fn run(mut self, lines: Lines) {
        let Lines { mut requests, mut stop } = lines;
        let mut interval = tokio::time::interval(self.settings.every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.documents.watch();
        loop {
            tokio::select! {
                biased;
                _ = &mut stop => break,
                () = self.alarm.rung() => self.tick().await,
                Some(request) = requests.recv() => self.serve(request).await,
                Some(report) = self.reports.recv() => {
                    self.hear(report);
                    while let Ok(report) = self.reports.try_recv() {
                        self.hear(report);
                    }
                    self.tick().await;
                }
                change = changes.next() => self.follow(change).await,
                Some(errand) = self.errands.join_next() => {
                    if let Err(error) = errand {
                        tracing::error!(target: TARGET, canary = %self.canary.name(), "{error}");
                    }
                }
                _ = interval.tick() => self.tick().await,
            }
            self.do_owed().await;
        }
        self.save_progress().await;
    }

    /// Looks at the canary, and lets the plan go on.
    async fn tick(&mut self) {
        if self.unloaded.is_some() {
            self.load().await;
        } else {
            self.save_again().await;
            self.heed_code();
            self.do_owed().await;
            self.decide().await;
        }
        self.canary.note_decision();
        self.show();
    }

    async fn decide(&mut self) {
        let found = self.alarm.hear();
        let calls = self.evidence.observe(&self.canary, self.rollout.weight());
        let judgment = self.evidence.judgment();
        let mut tick = match found {
            // What the guard found holds, whatever came after it.
            Some(found) => Tick::new(Verdict::Degraded, found),
            None => Tick::new(judgment.verdict, judgment.to_string()),
        }
        .with_calls(calls);
        let Heard { probes, gates } = std::mem::take(&mut self.heard);
        for (probe, outcome) in probes {
            tick = tick.with_probe(probe, outcome);
        }
        for (gate, answer) in gates {
            tick = tick.with_answer(gate, answer);
        }
        let mut after = self.rollout.clone();
        let outcome = after.tick(self.clock.now(), &tick);
        self.carry_out(after, &outcome).await;
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

    async fn serve(&mut self, request: Request) {
        let Request { order, generation, answer } = request;
        let answered = self.obey(&order, generation).await;
        if self.rollout.weight() == Weight::ZERO {
            self.alarm.is_known();
        }
        self.show();
        // Whoever asked may have gone away.
        let _ = answer.send(answered);
    }

    async fn obey(&mut self, order: &Order, seen: Option<u64>) -> Result<Outcome, CommandError> {
        if self.unloaded.is_some() {
            self.load().await;
        }
        if let Some(why) = &self.unloaded {
            if goes_back(&order.command) {
                let mut outcome = Outcome::default();
                outcome.note = Some(format!("in force, but not stored yet: {why}"));
                self.owed.push_back(order.clone());
                return Ok(outcome);
            }
            return Err(CommandError::Unloaded(why.clone()));
        }
        for _ in 0..ATTEMPTS {
            let generation = self.rollout.generation();
            if seen.is_some_and(|seen| seen != generation) && !goes_back(&order.command) {
                return Err(CommandError::Changed { seen: seen.unwrap_or_default(), generation });
            }
            let mut after = self.rollout.clone();
            let mut outcome = after.command(self.clock.now(), order)?;
            if outcome.actions.is_empty() {
                return Ok(outcome);
            }
            match self.carry_out(after, &outcome).await {
                Carried::Done => return Ok(outcome),
                Carried::Unsaved(error) => {
                    outcome.note = Some(format!("in force, but not stored yet: {error}"));
                    return Ok(outcome);
                }
                Carried::Undone(error) => return Err(CommandError::Unsaved(error)),
                Carried::Overtaken => {}
            }
        }
        Err(CommandError::Contended)
    }

    /// Notes a command of a program's own, to be done next.
    fn owe(&mut self, command: Command, by: &str, reason: &str) {
        self.owed.push_back(Order::new(command, Actor::program(by), reason));
    }

    /// Does what is owed. The state may have come to refuse it.
    async fn do_owed(&mut self) {
        while self.unloaded.is_none() {
            let Some(order) = self.owed.pop_front() else { break };
            if let Err(error) = self.obey(&order, None).await {
                tracing::warn!(target: TARGET, canary = %self.canary.name(), "{error}");
            }
        }
    }

    fn show(&self) {
        let judgment = self.evidence.judgment();
        let mut status = Status::of(&self.rollout, self.clock.now(), &judgment, &self.canary);
        status.unsaved = self.unsaved.map(|since| since.elapsed());
        status.unloaded.clone_from(&self.unloaded);
        status.probes = self.probes.clone().into_iter().collect();
        self.status.send_replace(Arc::new(status));
    }
}

/// Whether a command holds whatever has happened meanwhile.
pub(crate) const fn goes_back(command: &Command) -> bool {
    matches!(command, Command::RollBack | Command::Halt)
}

/// Whether the canary is watched, so that a verdict has consequences.
const fn is_watched(phase: Phase) -> bool {
    matches!(phase, Phase::Starting | Phase::Running | Phase::Paused | Phase::Baking)
}

/// Events that a slow subscriber can miss without being told that it missed some.
const EVENTS_KEPT: usize = 256;
/// How often a command is tried anew on what others have stored meanwhile.
const ATTEMPTS: usize = 5;
const TARGET: &str = "canary_controller";
