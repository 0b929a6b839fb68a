//! Replicas that share a store, in simulated time.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use canary_core::{StickySecret, Verdict, Weight};
use canary_rollout::{
    Action, Command, Order, Phase, Relation, Rollout, Tick, Timestamp, Transition,
    event::Event,
    replica::{
        Build, CommandFailure, CommandId, DataPlane, EvidenceOrder, EvidenceSwapped, Input, Loaded,
        Mode, Moment, Output, Replica, ReplicaId, Swapped,
    },
};

use super::{plan, releases};

/// What happens to a request to the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    Unavailable,
    /// The request is lost, and the replica does not know.
    RequestLost,
    /// The change is made, and the replica does not know.
    ReplyLost,
}

/// A store of one rollout and its evidence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub(crate) rollout: Option<(u64, Rollout)>,
    evidence: Option<(u64, ReplicaId)>,
    /// Unique, even after a backup was restored.
    revisions: u64,
    /// The weights and the events that were ever stored.
    pub(crate) weights: BTreeSet<Weight>,
    pub(crate) events: Vec<Event>,
    backup: Option<Rollout>,
}

impl Store {
    fn revise(&mut self) -> u64 {
        self.revisions += 1;
        self.revisions
    }

    fn put(&mut self, rollout: Rollout) -> u64 {
        let revision = self.revise();
        self.weights.insert(rollout.weight());
        let new = rollout.history().filter(|event| !self.events.contains(event));
        let new: Vec<_> = new.cloned().collect();
        self.events.extend(new);
        self.rollout = Some((revision, rollout));
        revision
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = self.rollout.as_ref().map(|(_, rollout)| rollout.clone());
    }

    pub(crate) fn restore(&mut self) {
        if let Some(backup) = self.backup.clone() {
            self.put(backup);
        }
    }

    pub(crate) fn stored(&self) -> Option<&Rollout> {
        self.rollout.as_ref().map(|(_, rollout)| rollout)
    }
}

/// One replica with its data plane.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) replica: Replica,
    id: ReplicaId,
    pub(crate) weight: Weight,
    applied: Weight,
    mode: Mode,
    trip: Option<String>,
    is_raise_blocked: bool,
    attempt: u64,
    rollout_revision: Option<u64>,
    evidence_revision: Option<u64>,
    pub(crate) emitted: Vec<Event>,
    pub(crate) replies: BTreeMap<CommandId, Result<Transition, CommandFailure>>,
    /// The weights since the last call of `take_weights`.
    weights: Vec<Weight>,
}

pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Timestamp,
    uptime: Duration,
    commands: u64,
    ids: u64,
    randoms: u64,
    /// The faults of the next requests.
    pub(crate) faults: Vec<Fault>,
    /// The fault of all other requests.
    pub(crate) outage: Option<Fault>,
    plan: String,
}

impl Cluster {
    pub(crate) fn new(toml: &str, releases: &[&str]) -> Self {
        let mut cluster = Self {
            store: Store::default(),
            nodes: Vec::new(),
            now: "2026-11-24T09:00:30Z".parse().unwrap(),
            uptime: Duration::ZERO,
            commands: 0,
            ids: 0,
            randoms: 0,
            faults: Vec::new(),
            outage: None,
            plan: toml.to_owned(),
        };
        for release in releases {
            let node = cluster.new_node(release);
            cluster.nodes.push(node);
        }
        cluster
    }

    fn new_node(&mut self, canary: &str) -> Node {
        self.ids += 1;
        let id = ReplicaId::from_random(self.ids);
        let build = Build {
            releases: releases(canary),
            plan: plan(&self.plan),
            auto_start: false,
            sticky_secret: StickySecret::from_bytes([1; 16]),
        };
        Node {
            replica: Replica::new("shop".parse().unwrap(), id.clone(), build),
            id,
            weight: Weight::ZERO,
            applied: Weight::ZERO,
            mode: Mode::Splitting,
            trip: None,
            is_raise_blocked: false,
            attempt: 0,
            rollout_revision: None,
            evidence_revision: None,
            emitted: Vec::new(),
            replies: BTreeMap::new(),
            weights: Vec::new(),
        }
    }

    /// Kills a replica and starts another one of the same build.
    pub(crate) fn restart(&mut self, index: usize, canary: &str) {
        self.nodes[index] = self.new_node(canary);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.uptime += time;
    }

    /// Ticks a replica, one second after the last tick of the cluster.
    pub(crate) fn tick(&mut self, index: usize, verdict: Verdict, calls: u64) {
        self.pass(Duration::from_secs(1));
        let node = &mut self.nodes[index];
        if !node.is_raise_blocked {
            let (weight, applied, mode) = (node.weight, node.applied, node.mode.clone());
            self.feed(index, Input::DataPlane(DataPlane { weight, applied, mode }));
        }
        let trip = self.nodes[index].trip.take();
        let tick = Box::new(Tick::new(verdict, "evidence").with_calls(calls));
        self.feed(index, Input::Tick { tick, trip });
    }

    pub(crate) fn command(&mut self, index: usize, order: Order) -> CommandId {
        self.commands += 1;
        let id = CommandId(self.commands);
        if order.command == Command::RollBack {
            self.nodes[index].set_weight(Weight::ZERO);
        }
        self.feed(index, Input::Command { id, order, seen: None });
        id
    }

    /// The guard rolls the canary back, or asks the driver to.
    pub(crate) fn trip(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let phase = node.replica.rollout().phase();
        if node.weight > Weight::ZERO && matches!(phase, Phase::Running | Phase::Baking) {
            node.trip = Some("the guard has tripped".to_owned());
            node.is_raise_blocked = true;
            node.set_weight(Weight::ZERO);
        }
    }

    /// Delivers the changes of both documents that a watch would report.
    pub(crate) fn watch(&mut self, index: usize) {
        let stored = self.store.rollout.as_ref().map(|(revision, _)| *revision);
        if self.nodes[index].rollout_revision != stored {
            self.feed(index, Input::StoreChanged);
        }
        let node = &mut self.nodes[index];
        let evidence = self.store.evidence.clone();
        if node.evidence_revision != evidence.as_ref().map(|(revision, _)| *revision) {
            node.evidence_revision = evidence.as_ref().map(|(revision, _)| *revision);
            self.feed(index, Input::EvidenceSeen(evidence.map(|(_, driver)| driver)));
        }
    }

    pub(crate) fn feed(&mut self, index: usize, input: Input) -> Vec<Output> {
        let mut all = Vec::new();
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let now = self.moment();
            let outputs = self.nodes[index].replica.handle(now, input);
            let requests = outputs.iter().rposition(is_request);
            assert!(requests.is_none_or(|last| last + 1 == outputs.len()), "{outputs:?}");
            for output in &outputs {
                next = self.carry_out(index, output).or(next);
            }
            all.extend(outputs);
        }
        all
    }

    fn moment(&mut self) -> Moment {
        self.randoms += 1;
        Moment { at: self.now, uptime: self.uptime, random: self.randoms }
    }

    fn fault(&mut self) -> Fault {
        self.faults.pop().or(self.outage).unwrap_or(Fault::None)
    }

    fn carry_out(&mut self, index: usize, output: &Output) -> Option<Input> {
        match output {
            Output::Load => {
                let fault = self.fault();
                return Some(Input::Loaded(self.load(index, fault)));
            }
            Output::Swap { rollout, evidence } => {
                return Some(Input::Swapped(self.swap(index, rollout, *evidence)));
            }
            Output::SwapEvidence => return Some(Input::EvidenceSwapped(self.beat(index))),
            _ => {}
        }
        let node = &mut self.nodes[index];
        match output {
            Output::InForce => node.note_in_force(),
            Output::AcknowledgeTrip => node.is_raise_blocked = false,
            Output::Lower(actions) => {
                for action in actions {
                    let raises = matches!(action, Action::SetWeight(to) if *to > node.weight);
                    if !raises {
                        node.perform(action);
                    }
                }
            }
            Output::Apply(actions) | Output::Enforce(actions) => {
                actions.iter().for_each(|action| node.perform(action));
            }
            Output::Reply { id, result } => drop(node.replies.insert(*id, result.clone())),
            Output::Emit(event) => {
                let was_stored = self.store.events.contains(event);
                assert!(was_stored, "{event} was emitted, and never stored");
                node.emitted.push(event.clone());
            }
            _ => {}
        }
        None
    }

    fn load(&mut self, index: usize, fault: Fault) -> Result<Loaded, String> {
        if fault != Fault::None {
            return Err("the store is away".to_owned());
        }
        let now = self.moment();
        let node = &mut self.nodes[index];
        if !node.replica.is_loaded() {
            let driver = self.store.evidence.clone();
            node.evidence_revision = driver.as_ref().map(|(revision, _)| *revision);
            node.replica.handle(now, Input::EvidenceSeen(driver.map(|(_, driver)| driver)));
        }
        let found = self.store.rollout.clone();
        let before = std::mem::replace(
            &mut node.rollout_revision,
            found.as_ref().map(|(revision, _)| *revision),
        );
        Ok(match found {
            Some((revision, _)) if before == Some(revision) => Loaded::Unchanged,
            Some((_, rollout)) => Loaded::Found(Box::new(rollout)),
            None if before.is_none() => Loaded::Unchanged,
            None => Loaded::Absent,
        })
    }

    fn swap(&mut self, index: usize, rollout: &Rollout, evidence: EvidenceOrder) -> Swapped {
        if evidence == EvidenceOrder::Before {
            match self.beat(index) {
                EvidenceSwapped::Conflict(driver) => return Swapped::Deposed(driver),
                EvidenceSwapped::Failed(reason) => return Swapped::Failed(reason),
                EvidenceSwapped::Done | EvidenceSwapped::Impossible => {}
            }
        }
        let reason = || "the store is away".to_owned();
        let fault = self.fault();
        match fault {
            Fault::Unavailable => return Swapped::Failed(reason()),
            Fault::RequestLost => return Swapped::Unknown(reason()),
            Fault::None | Fault::ReplyLost => {}
        }
        let stored = self.store.rollout.clone();
        let expected = self.nodes[index].rollout_revision;
        if stored.as_ref().map(|(revision, _)| *revision) != expected {
            if fault == Fault::ReplyLost {
                return Swapped::Unknown(reason());
            }
            self.nodes[index].rollout_revision = stored.as_ref().map(|(revision, _)| *revision);
            return Swapped::Conflict(stored.map(|(_, rollout)| Box::new(rollout)));
        }
        let revision = self.store.put(rollout.clone());
        if fault == Fault::ReplyLost {
            return Swapped::Unknown(reason());
        }
        self.nodes[index].rollout_revision = Some(revision);
        if evidence == EvidenceOrder::After {
            self.beat(index);
        }
        Swapped::Saved
    }

    fn beat(&mut self, index: usize) -> EvidenceSwapped {
        let fault = self.fault();
        if matches!(fault, Fault::Unavailable | Fault::RequestLost) {
            return EvidenceSwapped::Failed("no evidence".to_owned());
        }
        let stored = self.store.evidence.as_ref().map(|(revision, _)| *revision);
        let node = &mut self.nodes[index];
        if stored != node.evidence_revision {
            if fault == Fault::ReplyLost {
                return EvidenceSwapped::Failed("no evidence".to_owned());
            }
            node.evidence_revision = stored;
            let driver = self.store.evidence.clone().map(|(_, driver)| driver);
            return EvidenceSwapped::Conflict(driver);
        }
        let id = node.id.clone();
        let revision = self.store.revise();
        self.store.evidence = Some((revision, id));
        if fault == Fault::ReplyLost {
            return EvidenceSwapped::Failed("no evidence".to_owned());
        }
        self.nodes[index].evidence_revision = Some(revision);
        EvidenceSwapped::Done
    }
}

impl Node {
    pub(crate) fn take_weights(&mut self) -> Vec<Weight> {
        std::mem::take(&mut self.weights)
    }

    pub(crate) fn is_of_its_build(&self) -> bool {
        self.replica.is_loaded() && self.replica.relation() == Relation::Same
    }

    /// A trip blocks raises until the rollout has recorded it, or another attempt has begun.
    fn note_in_force(&mut self) {
        let rollout = self.replica.rollout();
        if rollout.weight() == Weight::ZERO || rollout.attempt() != self.attempt {
            self.is_raise_blocked = false;
            self.trip = self.trip.take().filter(|_| rollout.attempt() == self.attempt);
        }
        self.attempt = rollout.attempt();
    }

    fn set_weight(&mut self, weight: Weight) {
        self.weight = weight;
        self.weights.push(weight);
    }

    fn raise(&mut self, weight: Weight, mode: Mode) {
        let is_halted = matches!(self.mode, Mode::Halted { .. }) && mode != Mode::Splitting;
        if self.weight < self.applied || self.is_raise_blocked || is_halted {
            return;
        }
        self.applied = weight;
        self.mode = mode;
        self.set_weight(weight);
    }

    fn perform(&mut self, action: &Action) {
        match action {
            Action::SetWeight(weight) if *weight > self.weight => {
                self.raise(*weight, Mode::Splitting);
            }
            Action::SetWeight(weight) => {
                (self.applied, self.mode) = (*weight, Mode::Splitting);
                self.set_weight(*weight);
            }
            Action::Promote => self.raise(Weight::FULL, Mode::Promoted),
            Action::RollBack => {
                self.applied = Weight::ZERO;
                if self.mode == Mode::Promoted {
                    self.mode = Mode::Splitting;
                }
                self.set_weight(Weight::ZERO);
            }
            Action::Halt(reason) => {
                (self.applied, self.mode) = (Weight::ZERO, Mode::Halted { reason: reason.clone() });
                self.set_weight(Weight::ZERO);
            }
            Action::LiftHalt if matches!(self.mode, Mode::Halted { .. }) => {
                self.mode = Mode::Splitting;
            }
            _ => {}
        }
    }
}

const fn is_request(output: &Output) -> bool {
    matches!(output, Output::Load | Output::Swap { .. } | Output::SwapEvidence)
}
