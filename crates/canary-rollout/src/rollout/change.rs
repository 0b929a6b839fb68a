use std::time::Duration;

use canary_core::Weight;

use super::Rollout;
use crate::{
    action::{Action, Transition},
    actor::Actor,
    event::{Event, EventKind},
    state::phase::{Phase, State},
    timestamp::Timestamp,
};

/// A rollout that is being changed, with the actions and events of the change.
pub(super) struct Change<'a> {
    pub(super) rollout: &'a mut Rollout,
    pub(super) now: Timestamp,
    /// The time since the previous tick; zero for a command.
    pub(super) passed: Duration,
    /// Whether the verdict of the previous tick was "degraded".
    pub(super) was_degraded: bool,
    lowering: Vec<Action>,
    raising: Vec<Action>,
    asking: Vec<Action>,
    events: Vec<Event>,
}

impl<'a> Change<'a> {
    pub(super) fn new(rollout: &'a mut Rollout, now: Timestamp) -> Self {
        let (lowering, raising, asking) = (Vec::new(), Vec::new(), Vec::new());
        let events = Vec::new();
        Self {
            rollout,
            now,
            passed: Duration::ZERO,
            was_degraded: false,
            lowering,
            raising,
            asking,
            events,
        }
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

    /// Adds an action that sets the weight to zero, and runs before the save. Call it before
    /// changing the state.
    pub(super) fn take_back(&mut self, action: Action) {
        self.rollout.weight = Weight::ZERO;
        self.lowering.push(action);
        if self.rollout.phase() == Phase::Promoted {
            // The data plane goes back to the variables from before the promotion, and commands may
            // have set others since.
            self.lowering.push(self.rollout.variables_action());
        }
    }

    /// Adds an action that runs after the save.
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

    /// Records an event. Call it after changing the state, because the event contains the new one.
    pub(super) fn record(&mut self, by: Actor, kind: EventKind, reason: impl Into<String>) {
        self.push(by, kind, reason.into(), String::new());
    }

    /// Records an event with the evidence of the latest verdict.
    pub(super) fn record_with_evidence(
        &mut self,
        by: Actor,
        kind: EventKind,
        reason: impl Into<String>,
    ) {
        let evidence = self.rollout.evidence.clone();
        self.push(by, kind, reason.into(), evidence);
    }

    fn push(&mut self, by: Actor, kind: EventKind, reason: String, evidence: String) {
        let Rollout { history, state, weight, verdict, .. } = &mut *self.rollout;
        history.count = history.count.saturating_add(1);
        let (number, at) = (history.count, self.now);
        let (phase, weight, verdict) = (state.phase(), *weight, *verdict);
        let event = Event { number, at, by, kind, reason, verdict, evidence, phase, weight };
        history.push(event.clone());
        self.events.push(event);
    }

    /// Records an event of another copy of the rollout under a new number.
    pub(super) fn record_again(&mut self, event: Event) {
        let history = &mut self.rollout.history;
        history.count += 1;
        let event = Event { number: history.count, ..event };
        history.push(event.clone());
        self.events.push(event);
    }

    pub(super) fn finish(self) -> Transition {
        let Self { rollout, lowering, raising, asking, events, .. } = self;
        let mut actions = lowering;
        let is_changed = !(actions.is_empty() && raising.is_empty() && events.is_empty());
        if is_changed || rollout.clock.unsaved >= Rollout::SAVE_INTERVAL {
            rollout.clock.unsaved = Duration::ZERO;
            rollout.generation = rollout.generation.saturating_add(1);
            rollout.drop_events_to_fit(!events.is_empty());
            actions.push(Action::Save);
        }
        actions.extend(raising);
        actions.extend(asking);
        for event in &events {
            for (to, target) in rollout.plan().notify() {
                let name = event.kind.as_str();
                if target.events.is_empty() || target.events.iter().any(|other| other == name) {
                    actions.push(Action::Notify { to: to.clone(), event: event.clone() });
                }
            }
        }
        Transition { actions, events, note: None }
    }
}
