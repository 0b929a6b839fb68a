use canary_controller::{Actor, RolloutHandle};
use serde_json::json;

use crate::process::{IS_LIVE, Process, SEND, button, open_browser, take_picture};

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
    take_picture(&mut page, "not-live").await;

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

/// Lets a test hide the page by `hide(true)`. The page waits 20 seconds before it gives its connection
/// back; here it waits no time. `stream` is the signal that ends the connection.
const HIDING: &str = "
    let isHidden = false;
    Object.defineProperty(document, 'hidden', { get: () => isHidden });
    globalThis.hide = (value) => {
        isHidden = value;
        document.dispatchEvent(new Event('visibilitychange'));
    };
    const [wait, request] = [setTimeout, fetch];
    globalThis.setTimeout = (run, ms) => wait(run, ms === 20_000 ? 0 : ms);
    globalThis.fetch = (path, options) => {
        if (path.endsWith('/events')) globalThis.stream = options.signal;
        return request(path, options);
    };
";

#[tokio::test]
async fn a_hidden_page_gives_its_connection_back_and_catches_up_when_it_is_shown() {
    let shop = Process::start().await;
    let Some(mut page) = open_browser().await else { return };
    page.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": HIDING})).await;
    page.load(&shop.url("/canary/#/shop")).await;
    page.wait_for(IS_LIVE).await;
    page.wait_for("document.querySelector('#events li')").await;

    page.evaluate("hide(true)").await;
    page.wait_for("stream.aborted").await;
    shop.rollout().pause(Actor::person("ada"), "lunch").await.unwrap();
    page.wait_for("document.title.startsWith('‖')").await;
    assert_eq!(page.evaluate("document.body.innerText.includes('ada paused')").await, false);

    page.evaluate("hide(false)").await;
    let shown = stored(shop.rollout()).await;
    page.wait_for(&format!("{SHOWN} === {}", json!(shown))).await;
    assert_eq!(page.evaluate("stream.aborted").await, false);
}

#[tokio::test]
async fn a_store_that_was_wiped_leaves_a_gap_and_a_page_that_works() {
    /// Keeps the event after which the page continues the stream, as `resumed`.
    const RESUMED: &str = "
        globalThis.resumed = null;
        const request = fetch;
        globalThis.fetch = (path, options) => {
            if (path.endsWith('/events'))
                globalThis.resumed = options.headers['last-event-id'] ?? 'the start';
            return request(path, options);
        };
    ";
    let mut shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let latest = "document.querySelector('#events li')";
    let known = page.wait_for(&format!("{latest}?.dataset.id")).await;
    page.evaluate(RESUMED).await;
    shop.kill().await;
    shop.wipe_store();
    shop.start_again().await;
    page.wait_for(&format!("resumed === {known}")).await;
    page.wait_for(&format!("{latest}.className === 'gap'")).await;
    shop.kill().await;
    shop.start_again().await;
    page.wait_for("resumed === 'the start'").await;

    page.wait_for(&format!("{IS_LIVE} && {}?.ariaDisabled !== 'true'", button("start"))).await;
    page.click(&button("start")).await;
    page.wait_for(&format!("!{SEND}.disabled")).await;
    page.click(SEND).await;
    page.wait_for("!document.querySelector('dialog')").await;
    page.wait_for("document.querySelector('#status').textContent.startsWith('step 1')").await;
    page.wait_for(&format!("{latest}.dataset.id")).await;
    let gaps = page.evaluate("document.querySelectorAll('#events .gap').length").await;
    assert_eq!(gaps, 1);
}

#[tokio::test]
async fn a_store_that_fails_is_shown_with_its_error_and_the_time_of_the_first_one() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    shop.wipe_store();
    // It is in force here, and cannot be stored.
    let _ = shop.rollout().pause(Actor::person("ada"), "lunch").await;
    let alarms = "document.querySelector('.alarms').innerText";
    page.wait_for(&format!("{alarms}.includes('No such file') && {alarms}.includes('(since ')"))
        .await;
}
