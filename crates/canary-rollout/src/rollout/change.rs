use std::time::Duration;

use canary_core::Weight;

use super::Rollout;
use crate::{
    action::{Action, Outcome},
    actor::Actor,
    event::{Event, What},
    state::State,
    timestamp::Timestamp,
};

/// A rollout while it changes, and what is to be done about it.
pub(super) struct Change<'a> {
    pub(super) rollout: &'a mut Rollout,
    pub(super) now: Timestamp,
    /// The time since the tick before; zero for a command.
    pub(super) passed: Duration,
    lowering: Vec<Action>,
    raising: Vec<Action>,
    asking: Vec<Action>,
    events: Vec<Event>,
}

impl<'a> Change<'a> {
    pub(super) fn new(rollout: &'a mut Rollout, now: Timestamp) -> Self {
        let (lowering, raising, asking) = (Vec::new(), Vec::new(), Vec::new());
        let events = Vec::new();
        Self { rollout, now, passed: Duration::ZERO, lowering, raising, asking, events }
    }

    pub(super) fn set_weight(&mut self, weight: Weight) {
        let before = self.rollout.weight;
        self.rollout.weight = weight;
        if weight < before {
            self.lowering.push(Action::SetWeight(weight));
        } else if weight > before {
            self.raising.push(Action::SetWeight(weight));
        }
    }

    /// Gives stable every call, by this action.
    pub(super) fn take_back(&mut self, action: Action) {
        self.rollout.weight = Weight::ZERO;
        self.lowering.push(action);
    }

    /// For what raises the weight, or comes with that.
    pub(super) fn raise(&mut self, action: Action) {
        if action == Action::Promote {
            self.rollout.weight = Weight::FULL;
        }
        self.raising.push(action);
    }

    pub(super) fn ask(&mut self, action: Action) {
        self.asking.push(action);
    }

    pub(super) fn enter(&mut self, state: State) {
        self.rollout.state = state;
    }

    /// Tells what happened, after it has.
    pub(super) fn record(&mut self, by: Actor, what: What, why: impl Into<String>) {
        self.push(by, what, why.into(), String::new());
    }

    /// Tells what happened, with the evidence.
    pub(super) fn record_proof(&mut self, by: Actor, what: What, why: impl Into<String>) {
        let evidence = self.rollout.evidence.clone();
        self.push(by, what, why.into(), evidence);
    }

    fn push(&mut self, by: Actor, what: What, why: String, evidence: String) {
        let Rollout { history, state, weight, verdict, .. } = &mut *self.rollout;
        history.count += 1;
        let (number, at) = (history.count, self.now);
        let (phase, weight, verdict) = (state.phase(), *weight, *verdict);
        let event = Event { number, at, by, what, why, verdict, evidence, phase, weight };
        history.push(event.clone());
        self.events.push(event);
    }

    pub(super) fn finish(self) -> Outcome {
        let Self { rollout, lowering, raising, asking, events, .. } = self;
        let mut actions = lowering;
        let is_changed = !(actions.is_empty() && raising.is_empty() && events.is_empty());
        if is_changed || rollout.clock.unsaved >= Rollout::SAVE_EVERY {
            rollout.clock.unsaved = Duration::ZERO;
            rollout.generation += 1;
            rollout.fit();
            actions.push(Action::Save);
        }
        actions.extend(raising);
        actions.extend(asking);
        for event in &events {
            for (to, notice) in rollout.plan.plan.notify() {
                let name = event.what.as_str();
                if notice.events.is_empty() || notice.events.iter().any(|other| other == name) {
                    actions.push(Action::Notify { to: to.clone(), event: event.clone() });
                }
            }
        }
        Outcome { actions, events, note: None }
    }
}
