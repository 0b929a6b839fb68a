use canary_api::{ActorKind, EventId, EventView};
use canary_controller::{Actor, Event};

use super::{phase, verdict};

/// Returns an event. It has an id once it is stored.
pub(crate) fn event(event: &Event, is_stored: bool) -> EventView {
    let Event { at, by, kind, reason, evidence, weight, .. } = event;
    EventView {
        id: is_stored.then(|| EventId::new(event.id().to_string())),
        at: at.to_string(),
        by: canary_api::Actor { kind: actor_kind(by), name: by.to_string() },
        kind: kind.as_str().to_owned(),
        sentence: format!("{by} {kind}"),
        reason: reason.clone(),
        verdict: verdict(event.verdict),
        evidence: evidence.clone(),
        phase: phase(event.phase),
        weight: weight.to_string(),
    }
}

const fn actor_kind(actor: &Actor) -> ActorKind {
    match actor {
        Actor::Plan => ActorKind::Plan,
        Actor::Judge => ActorKind::Judge,
        Actor::Store => ActorKind::Store,
        Actor::Probe(_) => ActorKind::Probe,
        Actor::Gate(_) => ActorKind::Gate,
        Actor::Person(_) => ActorKind::Person,
        Actor::Program(_) => ActorKind::Program,
        _ => ActorKind::Unknown,
    }
}
