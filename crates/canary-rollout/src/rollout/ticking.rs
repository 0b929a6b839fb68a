use std::time::Duration;

use canary_core::{Verdict, Weight};

use super::{Rollout, change::Change};
use crate::{
    action::{Action, Outcome},
    actor::Actor,
    event::What,
    plan::OnInconclusive,
    state::{Cause, Deadline, GateState, Pause, State},
    text::{EVIDENCE_BYTES, bounded},
    tick::{Answer, ProbeOutcome, Tick},
    timestamp::Timestamp,
};

impl Rollout {
    /// Lets time pass, and takes in what was seen meanwhile.
    ///
    /// Where the plan is to wait, the judge is heard all the same: a canary that is found degraded
    /// goes back from a gate and from a pause as it does from a step. Whoever finds it so between two
    /// ticks, as the judge's [`Guard`](canary_analysis::Guard) does, ticks at once.
    ///
    /// At most one stage of the plan is left per tick.
    pub fn tick(&mut self, now: Timestamp, tick: &Tick) -> Outcome {
        let passed = self.clock.latest.map_or(Duration::ZERO, |latest| now.since(latest));
        let passed = passed.min(Self::LONGEST_TICK);
        self.clock.latest = Some(now);
        self.verdict = tick.verdict;
        self.evidence = bounded(&tick.evidence, EVIDENCE_BYTES);
        self.pass(now, passed, tick.calls);

        let mut change = Change::new(self, now);
        change.passed = passed;
        change.hear(tick);
        change.finish()
    }

    fn pass(&mut self, now: Timestamp, passed: Duration, calls: u64) {
        let is_paused = matches!(self.state, State::Paused { .. });
        if let State::RampingDown { seen, .. } = &mut self.state {
            *seen += passed;
            self.clock.unsaved += passed;
        }
        let Some(progress) = self.state.progress_mut() else { return };
        self.clock.elapsed += passed;
        self.clock.unsaved += passed;
        for probe in progress.probes.values_mut() {
            probe.since_run += passed;
        }
        if is_paused {
            return;
        }
        for gate in progress.gates.values_mut() {
            if let GateState::Asked { waited, since_ask, .. } = gate {
                *waited += passed;
                *since_ask += passed;
            }
        }
        match &mut progress.since {
            // The clock went back behind the beginning: it begins now.
            Some(since) if now < *since => {
                *since = now;
                progress.seen = Duration::ZERO;
            }
            Some(_) => {
                progress.seen += passed;
                progress.calls = progress.calls.saturating_add(calls);
            }
            None => {}
        }
    }
}

impl Change<'_> {
    fn hear(&mut self, tick: &Tick) {
        if !self.rollout.is_watched() {
            self.ramp();
            return;
        }
        if tick.verdict == Verdict::Degraded {
            self.degrade(Cause::Degraded { evidence: self.rollout.evidence.clone() });
            return;
        }
        for (probe, outcome) in &tick.probes {
            self.hear_probe(probe, outcome);
            if !self.rollout.is_watched() {
                return;
            }
        }
        for (gate, answer) in &tick.answers {
            self.hear_gate(gate, answer);
            if !self.rollout.is_watched() {
                return;
            }
        }
        if self.is_overdue() {
            return;
        }
        if matches!(self.rollout.state, State::Paused { .. }) {
            self.run_probes();
        } else {
            self.proceed();
        }
    }

    fn hear_probe(&mut self, name: &str, outcome: &ProbeOutcome) {
        let Some(probe) = self.rollout.plan().probes().get(name).cloned() else { return };
        let progress = self.rollout.state.progress_mut();
        let Some(state) = progress.and_then(|progress| progress.probes.get_mut(name)) else {
            return;
        };
        let Some(said) = outcome.failure() else {
            (state.passes, state.failures) = (state.passes.saturating_add(1), 0);
            return;
        };
        (state.passes, state.failures) = (0, state.failures.saturating_add(1));
        state.said.clone_from(&said);
        let failures = state.failures;
        if failures == 1 {
            let probe = name.to_owned();
            self.record(Actor::Probe(name.to_owned()), What::ProbeFailed { probe }, &*said);
        }
        if failures >= probe.failure_threshold {
            self.degrade(Cause::Probe { probe: name.to_owned(), said });
        }
    }

    fn hear_gate(&mut self, name: &str, answer: &Answer) {
        let progress = self.rollout.state.progress_mut();
        let state = progress.and_then(|progress| progress.gates.get_mut(name));
        let Some(GateState::Asked { said, .. }) = state else { return };
        match answer {
            Answer::Open => self.open_gate(name, &Actor::Gate(name.to_owned()), ""),
            Answer::NotYet(why) => *said = bounded(why, GATE_BYTES),
            Answer::Refused(why) => {
                let why = bounded(why, GATE_BYTES);
                self.close_gate(name, Actor::Gate(name.to_owned()), &why);
            }
        }
    }

    /// Whether the deadline of the whole rollout has ended it, or its progress.
    fn is_overdue(&mut self) -> bool {
        let rollout = &*self.rollout;
        let is_over = rollout.plan().deadline().is_some_and(|it| rollout.clock.elapsed >= it);
        let is_paused = matches!(rollout.state, State::Paused { .. });
        match rollout.plan().on_inconclusive() {
            OnInconclusive::RollBack if is_over && rollout.weight > Weight::ZERO => {
                self.roll_back(Cause::Deadline(Deadline::Rollout));
                true
            }
            OnInconclusive::Hold | OnInconclusive::RollBack if is_over && !is_paused => {
                let (why, text) =
                    (Pause::Deadline(Deadline::Rollout), Deadline::Rollout.to_string());
                self.pause(why, Actor::Plan, What::Paused, text);
                true
            }
            _ => false,
        }
    }

    pub(super) fn run_probes(&mut self) {
        let Some(stage) = self.rollout.state.stage() else { return };
        for name in self.rollout.probes_of(&stage) {
            let Some(probe) = self.rollout.plan().probes().get(&name).cloned() else { continue };
            let Some(progress) = self.rollout.state.progress_mut() else { return };
            let is_known = progress.probes.contains_key(&name);
            let state = progress.probes.entry(name.clone()).or_default();
            if !is_known || state.since_run >= probe.every {
                state.since_run = Duration::ZERO;
                self.ask(Action::RunProbe(name));
            }
        }
    }
}

const GATE_BYTES: usize = 128;
