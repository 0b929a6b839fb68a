use serde_json::json;

use super::{
    lines::{lines, link_label},
    notification::Notification,
};

/// Returns the body of a webhook in the format `slack`.
///
/// `dropped` is the number of undelivered events before this one.
#[must_use]
pub fn slack_body(notification: &Notification, dropped: u64) -> String {
    json!({ "text": text(notification, dropped) }).to_string()
}

/// Returns the message in Slack's markup, mrkdwn.
fn text(notification: &Notification, dropped: u64) -> String {
    let canary = notification.canary.as_str();
    let lines: Vec<String> = lines(notification, dropped).iter().map(|it| escaped(it)).collect();
    let text = lines.join("\n");
    let rest = text.strip_prefix(canary).unwrap_or(&text);
    let link = match &notification.page {
        // A page has no character that ends a link.
        Some(page) => format!("\n<{page}|{}>", link_label(notification)),
        None => String::new(),
    };
    format!("*{canary}*{rest}{link}")
}

/// Disarms links and mentions. `<` begins them in Slack. Compatible services also mention everyone in a
/// channel for a plain `@all`, and hide the target of a link as `[text](target)`; a space without
/// width prevents both.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('@', "@\u{200B}").replace("](", "]\u{200B}(")
}
