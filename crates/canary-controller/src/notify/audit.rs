use canary_rollout::{
    Actor,
    event::{Event, EventKind},
};
use tracing::Level;

use super::notification::Notification;

/// Emits the event as a `tracing` event with the target `canary::audit`.
///
/// The level is `WARN` for problems of the canary and `INFO` otherwise. The fields are `canary`,
/// `stable_release`, `canary_release`, `number`, `at`, `by` (`plan`, `judge`, `probe`, `gate`,
/// `person` or `program`), `who`, `kind`, `reason`, `verdict`, `evidence`, `phase` and `weight`.
/// The message is a sentence. All values have a bounded length. Texts from outside have no characters
/// that change the layout, and in the message none that look like another field.
pub fn audit(notification: &Notification) {
    macro_rules! audit {
        ($level:expr) => {{
            let Notification { canary, releases, event, .. } = notification;
            let Event { number, at, by, kind, reason, verdict, evidence, phase, weight, .. } = event;
            let who = by.to_string();
            let sentence = event.sentence().replace(['=', '"'], " ");
            tracing::event!(
                target: "canary::audit",
                $level,
                canary = canary.as_str(),
                stable_release = releases.stable.as_str(),
                canary_release = releases.canary.as_str(),
                number,
                %at,
                by = actor_kind(by),
                who,
                kind = kind.as_str(),
                reason,
                verdict = verdict.as_str(),
                evidence,
                phase = phase.as_str(),
                %weight,
                "{canary}: {sentence}, weight {weight}",
            );
        }};
    }
    if is_warning(&notification.event.kind) {
        audit!(Level::WARN);
    } else {
        audit!(Level::INFO);
    }
}

const fn is_warning(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::Frozen
            | EventKind::RampDownBegun
            | EventKind::RolledBack
            | EventKind::Halted
            | EventKind::GateRejected { .. }
            | EventKind::ProbeFailed { .. }
    )
}

const fn actor_kind(actor: &Actor) -> &'static str {
    match actor {
        Actor::Plan => "plan",
        Actor::Judge => "judge",
        Actor::Probe(_) => "probe",
        Actor::Gate(_) => "gate",
        Actor::Person(_) => "person",
        _ => "program",
    }
}
