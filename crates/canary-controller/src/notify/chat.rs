//! Bodies for the chats of Teams and Discord.

use canary_rollout::event::EventKind;
use serde_json::{Value, json};

use super::notification::Notification;
use crate::bounded_text::bounded;

/// Returns the body of a webhook in the format `teams`: an Adaptive Card, as a workflow of Teams
/// accepts it. Its texts have no markup, so that no text from outside can become a link.
///
/// `dropped` is the number of undelivered events before this one.
#[must_use]
pub fn teams_body(notification: &Notification, dropped: u64) -> String {
    let block = |line: &String| json!({ "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "text": line }] });
    let body: Vec<Value> = lines(notification, dropped).iter().map(block).collect();
    let open = |page: &String| json!({ "type": "Action.OpenUrl", "title": link_label(notification), "url": page });
    let actions: Vec<Value> = notification.page.iter().map(open).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
                "actions": actions,
            },
        }],
    })
    .to_string()
}

/// Returns the body of a webhook in the format `discord`. It mentions no one, and no text from outside
/// can become a link.
///
/// `dropped` is the number of undelivered events before this one.
#[must_use]
pub fn discord_body(notification: &Notification, dropped: u64) -> String {
    let link = |page: &String| format!("\n{}: <{page}>", link_label(notification));
    let link = notification.page.as_ref().map(link).unwrap_or_default();
    let text: Vec<String> = lines(notification, dropped).iter().map(|it| escaped(it)).collect();
    let content = bounded(&text.join("\n"), DISCORD_BYTES.saturating_sub(link.len())) + &link;
    json!({ "content": content, "allowed_mentions": { "parse": [] } }).to_string()
}

const fn link_label(notification: &Notification) -> &'static str {
    if notification.approval.is_some() { "Approve or reject" } else { "Open the page" }
}

/// Returns the lines of a message, without markup.
fn lines(notification: &Notification, dropped: u64) -> Vec<String> {
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

/// Disarms Discord's markup. A backslash does not stop a bare URL from becoming a link; a space without
/// width does.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if "\\*_~`|>[]()#<".contains(char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped.replace("://", ":\u{200B}//")
}

const MAX_PART_BYTES: usize = 256;

/// The maximum length of a message of Discord is 2,000 characters.
const DISCORD_BYTES: usize = 2_000;
