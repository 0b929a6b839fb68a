use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use canary_rollout::{
    Rollout, Timestamp,
    plan::GateKind,
    tick::{GateAnswer, ProbeOutcome},
};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{effects::Effects, gate::GateQuestion};

/// The running probes and gate questions of a plan, and their reports.
pub(super) struct PlanTasks {
    effects: Arc<Effects>,
    pub(super) running: JoinSet<()>,
    /// Boxed, because an empty queue has room for 32.
    sender: mpsc::UnboundedSender<Box<Report>>,
    pub(super) receiver: mpsc::UnboundedReceiver<Box<Report>>,
    /// The reports since the last tick.
    pub(super) reports: Reports,
    /// The gates whose questions are not answered yet.
    asked: BTreeSet<String>,
    /// The result of the latest run of each probe, for the status.
    pub(super) probe_results: BTreeMap<String, String>,
}

/// The result of one task.
pub(super) enum Report {
    Probe(String, ProbeOutcome),
    Gate(String, GateAnswer),
}

/// The reports that the next tick passes on.
#[derive(Default)]
pub(super) struct Reports {
    pub(super) probes: Vec<(String, ProbeOutcome)>,
    pub(super) gates: Vec<(String, GateAnswer)>,
}

impl PlanTasks {
    pub(super) fn new(effects: Arc<Effects>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            effects,
            running: JoinSet::new(),
            sender,
            receiver,
            reports: Reports::default(),
            asked: BTreeSet::new(),
            probe_results: BTreeMap::new(),
        }
    }

    /// Starts a probe of the rollout's plan.
    pub(super) fn run_probe(&mut self, rollout: &Rollout, name: String) {
        let Some(probe) = rollout.plan().probes().get(&name).cloned() else { return };
        let (effects, sender) = (Arc::clone(&self.effects), self.sender.clone());
        self.running.spawn(async move {
            let outcome = effects.probes.run(&probe).await;
            // Fails if the driver has stopped.
            let _ = sender.send(Box::new(Report::Probe(name, outcome)));
        });
    }

    /// Asks a gate of the rollout's plan, unless it is already being asked. Does nothing for an
    /// approval, which is a command.
    pub(super) fn ask_gate(&mut self, rollout: &Rollout, name: String, now: Timestamp) {
        let Some(gate) = rollout.plan().gates().get(&name).cloned() else { return };
        if matches!(gate.kind, GateKind::Approval(_)) {
            return;
        }
        let Some(question) = GateQuestion::for_gate(rollout, &name, now) else { return };
        if !self.asked.insert(name.clone()) {
            // With retries, a question can take longer than the interval between questions.
            return;
        }
        let (effects, sender) = (Arc::clone(&self.effects), self.sender.clone());
        self.running.spawn(async move {
            let answer = effects.gates.ask(&gate, &question).await;
            let _ = sender.send(Box::new(Report::Gate(name, answer)));
        });
    }

    /// Adds a report to those of the next tick.
    pub(super) fn record(&mut self, report: Report) {
        match report {
            Report::Probe(name, outcome) => {
                let result = match &outcome {
                    ProbeOutcome::Failed(reason) => reason.clone(),
                    _ => "passed".to_owned(),
                };
                self.probe_results.insert(name.clone(), result);
                self.reports.probes.push((name, outcome));
            }
            Report::Gate(name, answer) => {
                self.asked.remove(&name);
                self.reports.gates.push((name, answer));
            }
        }
    }

    /// Records the reports that have arrived.
    pub(super) fn record_received(&mut self) {
        while let Ok(report) = self.receiver.try_recv() {
            self.record(*report);
        }
    }

    /// Stops all tasks and discards their reports, which belong to an earlier stage or attempt.
    pub(super) fn cancel(&mut self) {
        self.running.abort_all();
        while self.receiver.try_recv().is_ok() {}
        self.reports = Reports::default();
        self.asked.clear();
    }
}
