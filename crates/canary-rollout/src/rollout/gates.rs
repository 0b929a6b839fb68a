use std::time::Duration;

use super::change::Change;
use crate::{
    action::Action,
    actor::Actor,
    event::EventKind,
    plan::{GateKind, OnRejected},
    span::Span,
    state::{GateState, PauseReason, RollbackReason, phase::State},
};

impl Change<'_> {
    /// Asks the stage's gates that are due, and returns whether all of them are open.
    pub(super) fn ask_gates(&mut self) -> bool {
        let Some(stage) = self.rollout.state.stage() else { return false };
        let mut are_open = true;
        for name in self.rollout.gates_of(&stage) {
            let Some(gate) = self.rollout.plan().gates().get(&name).cloned() else { continue };
            let now = self.now;
            let Some(progress) = self.rollout.state.progress_mut() else { return false };
            match progress.gates.get_mut(&name) {
                Some(GateState::Open { .. }) => continue,
                Some(GateState::Asked { waited, message, .. })
                    if gate.deadline.is_some_and(|deadline| *waited >= deadline) =>
                {
                    let deadline = gate.deadline.unwrap_or_default();
                    let timeout = format!("no answer within {}", Span(deadline));
                    let message = match message.as_str() {
                        "" => timeout,
                        last => format!("{timeout}: {last}"),
                    };
                    self.reject_gate(&name, Actor::Gate(name.clone()), &message);
                    return false;
                }
                Some(GateState::Asked { since_ask, .. }) => {
                    if *since_ask >= gate.every && !matches!(gate.kind, GateKind::Approval(_)) {
                        *since_ask = Duration::ZERO;
                        self.ask(Action::AskGate(name.clone()));
                    }
                }
                None => {
                    let asked = GateState::Asked {
                        since: now,
                        waited: Duration::ZERO,
                        since_ask: Duration::ZERO,
                        message: String::new(),
                    };
                    progress.gates.insert(name.clone(), asked);
                    self.ask(Action::AskGate(name.clone()));
                    self.record(Actor::Plan, EventKind::GateAsked { gate: name }, "");
                }
            }
            are_open = false;
        }
        are_open
    }

    pub(super) fn open_gate(&mut self, name: &str, by: &Actor, reason: &str) {
        let open = GateState::Open { at: self.now, by: by.clone() };
        if let Some(progress) = self.rollout.state.progress_mut() {
            progress.gates.insert(name.to_owned(), open);
        }
        self.record(by.clone(), EventKind::GateOpened { gate: name.to_owned() }, reason);
    }

    pub(super) fn reject_gate(&mut self, name: &str, by: Actor, message: &str) {
        let on_rejected = self.rollout.plan().gates().get(name).map(|gate| gate.on_rejected);
        let (gate, message) = (name.to_owned(), message.to_owned());
        self.record(by.clone(), EventKind::GateRejected { gate: gate.clone() }, &*message);
        if on_rejected == Some(OnRejected::RollBack) {
            self.roll_back(RollbackReason::Gate { gate, message });
        } else if !matches!(self.rollout.state, State::Paused { .. }) {
            let event_reason = format!("gate {gate:?}: {message}");
            let pause = PauseReason::Gate { gate, message };
            self.pause(pause, by, EventKind::Paused, event_reason);
        }
    }
}
