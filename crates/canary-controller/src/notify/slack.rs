use std::fmt::Write;

use canary_rollout::event::EventKind;
use serde_json::json;

use super::notification::Notification;

use crate::bounded_text::bounded;

/// Returns the body of a webhook in the format `slack`.
///
/// `dropped` is the number of undelivered events before this one.
#[must_use]
pub fn slack_body(notification: &Notification, dropped: u64) -> String {
    json!({ "text": text(notification, dropped) }).to_string()
}

/// Returns the message in Slack's markup, mrkdwn.
fn text(notification: &Notification, dropped: u64) -> String {
    let event = &notification.event;
    let clean = |text: &str| escaped(&bounded(text, MAX_PART_BYTES));
    let mut text = format!(
        "*{}* ({} after {}): {}; weight {}, {}, verdict {}",
        notification.canary,
        clean(notification.releases.canary.as_str()),
        clean(notification.releases.stable.as_str()),
        clean(&event.sentence()),
        event.weight,
        event.phase,
        event.verdict.as_str(),
    );
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            let _ = write!(text, "\n{label}{}", clean(value));
        }
    };
    if matches!(event.kind, EventKind::GateAsked { .. }) {
        line("Waiting for: ", notification.approval.as_deref().unwrap_or_default());
    }
    line("Reason: ", &event.reason);
    line("Evidence: ", &event.evidence);
    line("", &format!("{}, event {}", event.at, event.number));
    if dropped > 0 {
        line("", &format!("{dropped} earlier events could not be delivered."));
    }
    if let Some(page) = &notification.page {
        let label =
            if notification.approval.is_some() { "Approve or reject" } else { "Open the page" };
        // A page has no character that ends a link.
        let _ = write!(text, "\n<{page}|{label}>");
    }
    text
}

/// Disarms links and mentions. `<` begins them in Slack. Compatible services also mention everyone in a
/// channel for a plain `@all`, and hide the target of a link as `[text](target)`; a space without
/// width prevents both.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('@', "@\u{200B}").replace("](", "]\u{200B}(")
}

/// The length to which a rollout cuts reasons. A message has seven parts, and escaping makes a
/// character up to five times longer, so a message stays below 10 kB. Slack's limit is 40,000
/// characters.
const MAX_PART_BYTES: usize = 256;
