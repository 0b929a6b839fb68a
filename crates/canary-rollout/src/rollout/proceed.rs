use std::time::Duration;

use canary_core::{Verdict, Weight};

use super::{Rollout, change::Change, obey::Leap};
use crate::{
    action::Action,
    actor::Actor,
    event::What,
    plan::{AdvanceWhen, GateKind, OnInconclusive, OnRejected},
    span::rough,
    state::{Cause, Deadline, GateState, Pause, Progress, Stage, State, Warrant},
    text::grouped,
};

/// What a stage still needs, gates aside.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Needs {
    /// Seen, and needed.
    pub(crate) time: Option<(Duration, Duration)>,
    /// Seen, and needed.
    pub(crate) calls: Option<(u64, u64)>,
    /// The verdict is not "healthy".
    pub(crate) lacks_proof: bool,
    /// Probes that have not passed.
    pub(crate) probes: Vec<String>,
}

impl Needs {
    const fn is_nothing(&self) -> bool {
        self.time.is_none() && self.calls.is_none() && !self.lacks_proof && self.probes.is_empty()
    }
}

impl Rollout {
    pub(crate) fn needs(&self, now: crate::Timestamp) -> Needs {
        let (Some(stage), Some(progress)) = (self.state.stage(), self.state.progress()) else {
            return Needs::default();
        };
        let (min_duration, calls, must_be_proven) = match &stage {
            Stage::Start => (Duration::ZERO, 0, false),
            Stage::Step { step } => {
                let is_last = step + 1 == self.plan().steps().len();
                let promotes = is_last && self.plan().max_weight() == Weight::FULL;
                let step = &self.plan().steps()[*step];
                (
                    step.min_duration,
                    step.min_calls,
                    promotes || step.advance_when == AdvanceWhen::Healthy,
                )
            }
            Stage::Bake { by } => {
                let time = self.plan().bake().map_or(Duration::ZERO, |bake| bake.duration);
                (time, 1, matches!(by, Warrant::Proof { .. }))
            }
        };
        let dwelt = progress.dwelt(now);
        let is_waived = self.is_past_deadline(&stage, progress)
            && self.plan().on_inconclusive() == OnInconclusive::Advance;
        let is_proven = self.verdict == Verdict::Healthy || is_waived;
        let is_missing = |name: &String| {
            let needed = self.plan().probes().get(name).map_or(1, |probe| probe.success_threshold);
            progress.probes.get(name).is_none_or(|state| state.passes < needed)
        };
        Needs {
            time: (dwelt < min_duration).then_some((dwelt, min_duration)),
            calls: (progress.calls < calls).then_some((progress.calls, calls)),
            lacks_proof: must_be_proven && !is_proven,
            probes: self.probes_of(&stage).into_iter().filter(is_missing).collect(),
        }
    }

    pub(super) fn probes_of(&self, stage: &Stage) -> Vec<String> {
        match stage {
            Stage::Start => self.plan().start().probes.clone(),
            Stage::Step { step } => self.plan().steps()[*step].probes.clone(),
            Stage::Bake { .. } => {
                self.plan().bake().map(|bake| bake.probes.clone()).unwrap_or_default()
            }
        }
    }

    pub(crate) fn gates_of(&self, stage: &Stage) -> Vec<String> {
        match stage {
            Stage::Start => self.plan().start().gates.clone(),
            Stage::Step { step } => self.plan().steps()[*step].gates.clone(),
            Stage::Bake { .. } => Vec::new(),
        }
    }

    fn deadline_of(&self, stage: &Stage) -> Duration {
        match stage {
            Stage::Start => self.plan().steps()[0].deadline,
            Stage::Step { step } => self.plan().steps()[*step].deadline,
            Stage::Bake { .. } => self.plan().bake().map_or(Duration::ZERO, |bake| bake.deadline),
        }
    }

    fn is_past_deadline(&self, stage: &Stage, progress: &Progress) -> bool {
        let is_overdue = self.plan().deadline().is_some_and(|it| self.clock.elapsed >= it);
        progress.waited >= self.deadline_of(stage) || is_overdue
    }

    pub(crate) fn is_raising_allowed(&self, now: crate::Timestamp) -> bool {
        self.plan().calendar().is_none_or(|calendar| calendar.is_open(now))
    }
}

impl Change<'_> {
    /// Goes on, if what the stage waits for is there.
    pub(super) fn proceed(&mut self) {
        if !self.bring_into_force(Actor::Plan, String::new(), Leap::WhenOpen) {
            return;
        }
        self.run_probes();
        let needs = self.rollout.needs(self.now);
        if !needs.is_nothing() {
            self.wait(&needs);
        } else if self.are_gates_open() {
            self.leave();
        }
    }

    /// Asks for the stage's weight, if the calendar allows; whether it is in force.
    pub(super) fn bring_into_force(&mut self, by: Actor, why: String, leap: Leap) -> bool {
        let Some(stage) = self.rollout.state.stage() else { return false };
        if self.rollout.state.progress().is_some_and(|progress| progress.since.is_some()) {
            return true;
        }
        let weight = self.weight_of(&stage);
        let is_raise = weight > self.rollout.weight;
        if is_raise && leap == Leap::WhenOpen && !self.rollout.is_raising_allowed(self.now) {
            return false;
        }
        let now = self.now;
        if let Some(progress) = self.rollout.state.progress_mut() {
            progress.since = Some(now);
        }
        self.set_weight(weight);
        let what = match stage {
            Stage::Start => return true,
            Stage::Step { step } => What::StepBegun { step },
            Stage::Bake { .. } => What::BakeBegun,
        };
        self.raise(Action::BeginStep);
        self.record_proof(by, what, why);
        true
    }

    pub(super) fn weight_of(&self, stage: &Stage) -> Weight {
        match stage {
            Stage::Start => Weight::ZERO,
            Stage::Step { step } => self.rollout.plan().steps()[*step].weight,
            Stage::Bake { .. } => {
                let holdback = self.rollout.plan().bake().map_or(0, |bake| bake.holdback.ppm());
                Weight::from_ppm(Weight::FULL.ppm() - holdback)
            }
        }
    }

    /// Uses up the stage's deadline, and does what the plan says when it is over.
    fn wait(&mut self, needs: &Needs) {
        let passed = self.passed;
        let Some(stage) = self.rollout.state.stage() else { return };
        let deadline = self.rollout.deadline_of(&stage);
        let Some(progress) = self.rollout.state.progress_mut() else { return };
        progress.waited += passed;
        if progress.waited < deadline {
            return;
        }
        let has_no_data = progress.calls == 0 && stage != Stage::Start;
        let missed = if !needs.probes.is_empty() {
            Deadline::Probes
        } else if needs.calls.is_some() {
            Deadline::Calls
        } else if needs.lacks_proof {
            Deadline::Proof
        } else {
            // Only time is missing, which passes by itself.
            return;
        };
        let on_inconclusive = self.rollout.plan().on_inconclusive();
        if on_inconclusive == OnInconclusive::Advance && missed == Deadline::Proof {
            // From now on the stage needs no proof.
            return;
        }
        // No data is no reason to go back, either.
        if on_inconclusive == OnInconclusive::RollBack && !has_no_data {
            self.roll_back(Cause::Deadline(missed));
        } else {
            let text = missed.to_string();
            self.pause(Pause::Deadline(missed), Actor::Plan, What::Paused, text);
        }
    }

    fn are_gates_open(&mut self) -> bool {
        let Some(stage) = self.rollout.state.stage() else { return false };
        let mut are_open = true;
        for name in self.rollout.gates_of(&stage) {
            let Some(gate) = self.rollout.plan().gates().get(&name).cloned() else { continue };
            let now = self.now;
            let Some(progress) = self.rollout.state.progress_mut() else { return false };
            match progress.gates.get_mut(&name) {
                Some(GateState::Open { .. }) => continue,
                Some(GateState::Asked { waited, said, .. }) if *waited >= gate.deadline => {
                    let silence = format!("no answer within {}", crate::span::Span(gate.deadline));
                    let said = if said.is_empty() { silence } else { format!("{silence}: {said}") };
                    self.close_gate(&name, Actor::Gate(name.clone()), &said);
                    return false;
                }
                Some(GateState::Asked { since_ask, .. }) => {
                    if *since_ask >= gate.every && !matches!(gate.kind, GateKind::Approval(_)) {
                        *since_ask = Duration::ZERO;
                        self.ask(Action::AskGate(name.clone()));
                    }
                }
                None => {
                    let (waited, since_ask) = (Duration::ZERO, Duration::ZERO);
                    let said = String::new();
                    let asked = GateState::Asked { since: now, waited, since_ask, said };
                    progress.gates.insert(name.clone(), asked);
                    self.ask(Action::AskGate(name.clone()));
                    self.record(Actor::Plan, What::GateAsked { gate: name }, "");
                }
            }
            are_open = false;
        }
        are_open
    }

    pub(super) fn open_gate(&mut self, name: &str, by: &Actor, why: &str) {
        let open = GateState::Open { at: self.now, by: by.clone() };
        if let Some(progress) = self.rollout.state.progress_mut() {
            progress.gates.insert(name.to_owned(), open);
        }
        self.record(by.clone(), What::GateOpened { gate: name.to_owned() }, why);
    }

    pub(super) fn close_gate(&mut self, name: &str, by: Actor, said: &str) {
        let on_rejected = self.rollout.plan().gates().get(name).map(|gate| gate.on_rejected);
        let (gate, said) = (name.to_owned(), said.to_owned());
        self.record(by.clone(), What::GateClosed { gate: gate.clone() }, &*said);
        if on_rejected == Some(OnRejected::RollBack) {
            self.roll_back(Cause::Gate { gate, said });
        } else if !matches!(self.rollout.state, State::Paused { .. }) {
            let text = format!("gate {gate:?}: {said}");
            self.pause(Pause::Gate { gate, said }, by, What::Paused, text);
        }
    }

    /// Leaves a stage that needs nothing any more.
    fn leave(&mut self) {
        let Some(stage) = self.rollout.state.stage() else { return };
        let steps = self.rollout.plan().steps().len();
        match stage {
            Stage::Start => self.begin_step(0, Actor::Plan, String::new()),
            Stage::Step { step } if step + 1 < steps => {
                let why = self.what_was_seen();
                self.begin_step(step + 1, Actor::Plan, why);
            }
            Stage::Step { .. } if self.rollout.plan().max_weight() < Weight::FULL => {
                let text = Pause::Maximum.to_string();
                self.pause(Pause::Maximum, Actor::Plan, What::Paused, text);
            }
            Stage::Step { .. } => {
                let warrant = self.warrant();
                let by = self.author(&warrant);
                self.promote_by(by, warrant, Leap::WhenOpen);
            }
            Stage::Bake { by: warrant } => {
                let author = self.author(&warrant);
                if self.rollout.is_raising_allowed(self.now) {
                    self.promote_fully(author, warrant);
                }
            }
        }
    }

    fn warrant(&self) -> Warrant {
        if self.rollout.verdict == Verdict::Healthy {
            Warrant::Proof { evidence: self.rollout.evidence.clone() }
        } else {
            Warrant::Deadline
        }
    }

    fn author(&self, warrant: &Warrant) -> Actor {
        match warrant {
            Warrant::Proof { .. } => Actor::Judge,
            Warrant::Word { by, .. } => by.clone(),
            Warrant::Deadline => Actor::Plan,
        }
    }

    fn what_was_seen(&self) -> String {
        let progress = self.rollout.state.progress();
        progress.map_or_else(String::new, |progress| {
            format!("after {} and {} calls", rough(progress.seen), grouped(progress.calls))
        })
    }

    pub(super) fn begin_step(&mut self, step: usize, by: Actor, why: String) {
        self.enter(State::Running { step, progress: Progress::default() });
        if !self.bring_into_force(by.clone(), why.clone(), Leap::WhenOpen) {
            self.record(by, What::CalendarClosed, why);
        }
    }

    /// Promotes: to the bake, if the plan has one.
    pub(super) fn promote_by(&mut self, by: Actor, warrant: Warrant, leap: Leap) {
        if self.rollout.plan().bake().is_some() {
            let why = warrant.to_string();
            self.enter(State::Baking { progress: Progress::default(), by: warrant });
            if !self.bring_into_force(by.clone(), why.clone(), leap) {
                self.record(by, What::CalendarClosed, why);
            }
        } else if leap == Leap::AtOnce || self.rollout.is_raising_allowed(self.now) {
            self.promote_fully(by, warrant);
        }
    }

    pub(super) fn promote_fully(&mut self, by: Actor, warrant: Warrant) {
        let text = warrant.to_string();
        self.raise(Action::Promote);
        self.enter(State::Promoted { at: self.now, by: warrant });
        self.record_proof(by, What::Promoted, text);
    }
}
