use canary_controller::{Actor, RolloutHandle};
use serde_json::json;

use crate::process::{IS_LIVE, Process, button};

/// The ids of the events that the page shows, the latest first, in JavaScript.
const SHOWN: &str =
    "JSON.stringify([...document.querySelectorAll('#events li')].map((it) => it.dataset.id))";

async fn stored(rollout: &RolloutHandle) -> String {
    let events = rollout.history(100).await.unwrap();
    let ids: Vec<_> = events.iter().rev().map(|event| event.id().to_string()).collect();
    json!(ids).to_string()
}

#[tokio::test]
async fn no_event_is_lost_or_doubled_when_the_server_restarts() {
    let mut shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let ada = || Actor::person("ada");
    shop.rollout().pause(ada(), "lunch").await.unwrap();
    let before = stored(shop.rollout()).await;
    page.wait_for(&format!("{SHOWN} === {}", json!(before))).await;

    shop.kill().await;
    page.wait_for("document.querySelector('#live').innerText.startsWith('not live since')").await;
    let opacity = page.evaluate("getComputedStyle(document.querySelector('.split')).opacity").await;
    assert_ne!(opacity, "1", "old data is gray");
    assert_eq!(page.evaluate("document.title.includes('(not live)')").await, true);

    shop.start_again().await;
    shop.rollout().resume(ada(), "lunch is over").await.unwrap();
    shop.rollout().pause(ada(), "tea").await.unwrap();
    page.wait_for(IS_LIVE).await;
    let after = stored(shop.rollout()).await;
    assert_ne!(before, after);
    page.wait_for(&format!("{SHOWN} === {}", json!(after))).await;
}

#[tokio::test]
async fn a_roll_back_is_possible_while_the_page_is_not_live() {
    let mut shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    shop.kill().await;
    page.wait_for("document.body.dataset.live === 'lost'").await;

    page.click(&button("roll_back")).await;
    page.wait_for(
        "document.querySelector('dialog .problem:not([hidden])')?.innerText.includes('no preview')",
    )
    .await;
    shop.start_again().await;
    page.type_text("wrong totals").await;
    page.press("Enter", 13).await;
    page.wait_for("!document.querySelector('dialog')").await;
    let status = "document.querySelector('#status').textContent";
    page.wait_for(&format!("{status}.startsWith('rolled back')")).await;
    let summary = shop.rollout().status().summary.clone();
    assert!(summary.contains("wrong totals"), "{summary}");
}
