//! Messages to Teams and Discord.

use canary_controller::notify::{Notification, discord_body, teams_body};
use serde_json::{Value, json};

use crate::fixtures::{event, raising};

#[test]
fn a_message_to_teams_has_texts_without_markup_and_a_button() {
    let why = "[safe](http://evil) **bold**\n<at>Ada</at>";
    let page = "https://ops.example/canary".parse().unwrap();
    let notification = Notification::new(&raising(), event(json!({ "reason": why })));
    let notification = notification.with_page(&page);
    let body: Value = serde_json::from_str(&teams_body(&notification, 2)).unwrap();
    let card = &body["attachments"][0]["content"];
    let blocks = card["body"].as_array().unwrap();
    assert!(blocks.iter().all(|block| block["type"] == "RichTextBlock"), "{blocks:?}");
    let lines: Vec<_> = blocks.iter().map(|block| block["inlines"][0]["text"].clone()).collect();
    let reason = "Reason: [safe](http://evil) **bold** <at>Ada</at>";
    assert!(lines.contains(&json!(reason)), "{lines:?}");
    assert_eq!(*lines.last().unwrap(), "2 earlier events could not be delivered.");
    assert_eq!(card["actions"][0]["url"], "https://ops.example/canary/#/checkout");
}

#[test]
fn a_message_to_discord_mentions_no_one_and_fits() {
    let why = "@everyone [safe](http://evil) **bold**";
    let page = "https://ops.example/canary".parse().unwrap();
    let changes = json!({ "reason": why, "evidence": "*".repeat(3_000) });
    let notification = Notification::new(&raising(), event(changes)).with_page(&page);
    let body: Value = serde_json::from_str(&discord_body(&notification, 0)).unwrap();
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    let text = body["content"].as_str().unwrap();
    let safe = "Reason: @everyone \\[safe\\]\\(http:\u{200B}//evil\\) \\*\\*bold\\*\\*";
    assert!(text.contains(safe), "{text}");
    assert!(text.ends_with("\nOpen the page: <https://ops.example/canary/#/checkout>"), "{text}");
    assert!(text.chars().count() <= 2_000);
}
