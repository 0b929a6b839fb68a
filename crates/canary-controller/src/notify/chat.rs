//! Bodies for the chats of Teams and Discord.

use serde_json::{Value, json};

use super::{
    lines::{lines, link_label},
    notification::Notification,
};
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

/// The maximum length of a message of Discord is 2,000 characters.
const DISCORD_BYTES: usize = 2_000;
