use std::time::Duration;

use canary_core::{Verdict, Weight};

use super::{Rollout, change::Change};
use crate::{
    action::{Action, Transition},
    actor::Actor,
    event::EventKind,
    fleet::Fleet,
    plan::OnInconclusive,
    span,
    state::{Deadline, GateState, PauseReason, RollbackReason, phase::State},
    text::{EVIDENCE_BYTES, bounded},
    tick::{GateAnswer, ProbeOutcome, input::Tick},
    timestamp::Timestamp,
};

impl Rollout {
    /// Advances the time to `now`, and applies the observations since the previous tick.
    ///
    /// A degraded verdict takes effect even while the plan waits at a gate or is paused. The driver
    /// may tick between regular ticks, for example when the judge's
    /// [`Guard`](canary_analysis::Guard) trips.
    ///
    /// A tick completes at most one stage of the plan.
    pub fn tick(&mut self, now: Timestamp, tick: &Tick) -> Transition {
        let passed = self.clock.latest.map_or(Duration::ZERO, |latest| now.since(latest));
        let passed = passed.min(Self::MAX_TICK);
        self.clock.latest = Some(now);
        let was_degraded = self.verdict == Verdict::Degraded;
        self.verdict = tick.verdict;
        self.evidence = bounded(&tick.evidence, EVIDENCE_BYTES);
        self.warm_up_left = tick.warm_up_left;
        self.pass_time(now, passed, tick.calls);

        let mut change = Change::new(self, now);
        change.passed = passed;
        change.was_degraded = was_degraded;
        change.note_quorum(tick.fleet.as_ref());
        change.apply_tick(tick);
        change.finish()
    }

    fn pass_time(&mut self, now: Timestamp, passed: Duration, calls: u64) {
        let is_paused = matches!(self.state, State::Paused { .. });
        if let State::RampingDown { ticked, .. } = &mut self.state {
            span::add(ticked, passed);
            span::add(&mut self.clock.unsaved, passed);
        }
        let Some(progress) = self.state.progress_mut() else { return };
        span::add(&mut self.clock.elapsed, passed);
        span::add(&mut self.clock.unsaved, passed);
        for probe in progress.probes.values_mut() {
            span::add(&mut probe.since_run, passed);
        }
        // Without a quorum the plan stands still, so that a deadline cannot pass meanwhile.
        if is_paused || self.without_quorum.is_some() {
            return;
        }
        for gate in progress.gates.values_mut() {
            if let GateState::Asked { waited, since_ask, .. } = gate {
                span::add(waited, passed);
                span::add(since_ask, passed);
            }
        }
        match &mut progress.since {
            // The clock jumped back to before the stage began: restart the stage's time.
            Some(since) if now < *since => {
                *since = now;
                progress.ticked = Duration::ZERO;
            }
            Some(_) => {
                span::add(&mut progress.ticked, passed);
                progress.calls = progress.calls.saturating_add(calls);
            }
            None => {}
        }
    }
}

impl Change<'_> {
    /// Records that fewer replicas are heard than the quorum, or again enough.
    fn note_quorum(&mut self, fleet: Option<&Fleet>) {
        let Some(fleet) = fleet.filter(|_| self.rollout.state.progress().is_some()) else { return };
        let had_quorum = self.rollout.without_quorum.is_none();
        let without_quorum = (!fleet.has_quorum()).then(|| fleet.without_names());
        self.rollout.without_quorum = without_quorum;
        let kind = match (had_quorum, fleet.has_quorum()) {
            (true, false) => EventKind::QuorumLost,
            (false, true) => EventKind::QuorumRegained,
            _ => return,
        };
        self.record(Actor::Plan, kind, fleet.to_string());
    }

    fn apply_tick(&mut self, tick: &Tick) {
        if !self.rollout.is_judged() {
            self.ramp_down();
            return;
        }
        if tick.verdict == Verdict::Degraded {
            let evidence = self.rollout.evidence.clone();
            self.degrade(RollbackReason::Degraded { evidence });
            return;
        }
        for (probe, outcome) in &tick.probes {
            self.apply_probe_outcome(probe, outcome);
            if !self.rollout.is_judged() {
                return;
            }
        }
        for (gate, answer) in &tick.answers {
            self.apply_gate_answer(gate, answer);
            if !self.rollout.is_judged() {
                return;
            }
        }
        if self.apply_rollout_deadline() {
            return;
        }
        if matches!(self.rollout.state, State::Paused { .. }) {
            self.run_probes();
        } else {
            self.proceed();
        }
    }

    fn apply_probe_outcome(&mut self, name: &str, outcome: &ProbeOutcome) {
        let Some(probe) = self.rollout.plan().probes().get(name).cloned() else { return };
        let progress = self.rollout.state.progress_mut();
        let Some(state) = progress.and_then(|progress| progress.probes.get_mut(name)) else {
            return;
        };
        let Some(message) = outcome.failure() else {
            (state.passes, state.failures) = (state.passes.saturating_add(1), 0);
            return;
        };
        (state.passes, state.failures) = (0, state.failures.saturating_add(1));
        state.message.clone_from(&message);
        let failures = state.failures;
        if failures == 1 {
            let kind = EventKind::ProbeFailed { probe: name.to_owned() };
            self.record(Actor::Probe(name.to_owned()), kind, &*message);
        }
        if failures >= probe.failure_threshold {
            self.degrade(RollbackReason::Probe { probe: name.to_owned(), message });
        }
    }

    fn apply_gate_answer(&mut self, name: &str, answer: &GateAnswer) {
        let progress = self.rollout.state.progress_mut();
        let state = progress.and_then(|progress| progress.gates.get_mut(name));
        let Some(GateState::Asked { message, .. }) = state else { return };
        match answer {
            GateAnswer::Open => self.open_gate(name, &Actor::Gate(name.to_owned()), ""),
            GateAnswer::NotYet(reason) => *message = bounded(reason, GATE_MESSAGE_BYTES),
            GateAnswer::Rejected(reason) => {
                let reason = bounded(reason, GATE_MESSAGE_BYTES);
                self.reject_gate(name, Actor::Gate(name.to_owned()), &reason);
            }
        }
    }

    /// Rolls back or pauses if the deadline of the whole rollout has passed. Returns whether the
    /// state has changed.
    fn apply_rollout_deadline(&mut self) -> bool {
        let rollout = &*self.rollout;
        if !rollout.is_past_rollout_deadline() {
            return false;
        }
        let is_paused = matches!(rollout.state, State::Paused { .. });
        match rollout.plan().on_inconclusive() {
            OnInconclusive::RollBack if rollout.weight > Weight::ZERO => {
                self.roll_back(RollbackReason::Deadline(Deadline::Rollout));
                true
            }
            OnInconclusive::Hold | OnInconclusive::RollBack if !is_paused => {
                let pause = PauseReason::Deadline(Deadline::Rollout);
                let event_reason = pause.to_string();
                self.pause(pause, Actor::Plan, EventKind::Paused, event_reason);
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

const GATE_MESSAGE_BYTES: usize = 128;
