use canary_rollout::event::EventKind;

use super::notification::Notification;
use crate::bounded_text::bounded;

/// Returns the label of the link to the page.
pub(super) const fn link_label(notification: &Notification) -> &'static str {
    if notification.approval.is_some() { "Approve or reject" } else { "Open the page" }
}

/// Returns the lines of a message, without markup. The first begins with the name of the canary.
pub(super) fn lines(notification: &Notification, dropped: u64) -> Vec<String> {
    let Notification { canary, releases, approval, event, .. } = notification;
    let clean = |text: &str| bounded(text, MAX_PART_BYTES);
    let mut lines = vec![format!(
        "{canary} ({} after {}): {}; weight {}, {}, verdict {}",
        clean(releases.canary.as_str()),
        clean(releases.stable.as_str()),
        clean(&event.sentence()),
        event.weight,
        event.phase,
        event.verdict.as_str(),
    )];
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{label}{}", clean(value)));
        }
    };
    if matches!(event.kind, EventKind::GateAsked { .. }) {
        line("Waiting for: ", approval.as_deref().unwrap_or_default());
    }
    line("Reason: ", &event.reason);
    line("Evidence: ", &event.evidence);
    line("", &format!("{}, event {}", event.at, event.number));
    if dropped > 0 {
        line("", &format!("{dropped} earlier events could not be delivered."));
    }
    lines
}

/// The length to which a rollout cuts reasons. A message has seven parts, and escaping for Slack makes a
/// character up to five times longer, so a message stays below 10 kB. Slack's limit is 40,000
/// characters.
const MAX_PART_BYTES: usize = 256;
