use std::fmt::Write;

use canary_rollout::{What, bounded};

use super::notification::Notification;

/// The event as a message for people, in what Slack and its kin call mrkdwn.
pub(super) fn text(notification: &Notification, dropped: u64) -> String {
    let event = &notification.event;
    let clean = |text: &str| escaped(&bounded(text, MOST_PART_BYTES));
    let mut text = format!(
        "*{}* ({} after {}): {} {}; weight {}, {}, verdict {}",
        notification.canary,
        clean(notification.releases.canary.as_str()),
        clean(notification.releases.stable.as_str()),
        clean(&event.by.to_string()),
        clean(&event.what.to_string()),
        event.weight,
        event.phase,
        event.verdict.as_str(),
    );
    let mut line = |label: &str, said: &str| {
        if !said.is_empty() {
            let _ = write!(text, "\n{label}{}", clean(said));
        }
    };
    if matches!(event.what, What::GateAsked { .. }) {
        line("Waiting for: ", notification.approval.as_deref().unwrap_or_default());
    }
    line("Why: ", &event.why);
    line("Evidence: ", &event.evidence);
    line("", &format!("{}, event {}", event.at, event.number));
    if dropped > 0 {
        line("", &format!("{dropped} events before this one could not be told."));
    }
    text
}

/// Slack's three characters, without which nothing is a link or a mention.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A rollout keeps no more of a reason. With seven parts, each character of which may become five, a
/// message stays below 10 kB, and Slack cuts at 40,000 characters.
const MOST_PART_BYTES: usize = 256;
