//! The smaller cards: variables, open calls and the mirror.

use canary_controller::{Actor, Phase};

use crate::process::{DIALOG, Process, SEND, take_picture};

#[tokio::test]
async fn a_variable_that_an_operator_changes_reaches_the_next_call() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let row = |name: &str| format!("document.querySelector('[data-name={name}]')?.innerText");
    assert_eq!(page.wait_for(&row("backend")).await, "backend\tb1\tb2");
    assert_eq!(page.evaluate(&row("limit")).await, "limit\t20\tas stage");

    page.click("document.querySelector('[data-name=backend] button')").await;
    let value = "document.querySelector('dialog #variable-value')";
    assert_eq!(page.wait_for(&format!("{value}?.value")).await, "b2");
    page.evaluate(&format!("{value}.select()")).await;
    page.type_text("b3").await;
    page.wait_for(&format!("!{SEND}.disabled")).await;
    take_picture(&mut page, "variable").await;
    page.press("Enter", 13).await;
    page.wait_for("!document.querySelector('dialog')").await;

    let backend = "fetch('/backend').then((response) => response.text())";
    let of_canary = async {
        loop {
            let backend = page.evaluate(backend).await;
            if backend != "b1" {
                return backend;
            }
        }
    };
    assert_eq!(of_canary.await, "b3");
    page.wait_for(&format!("{} === 'backend\\tb1\\tb3'", row("backend"))).await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

/// Defines `openStream(path, release)`, which opens a stream that this release serves, and `ends`, a
/// promise of the end of each stream by its path.
const STREAMS: &str = "
    globalThis.ends = {};
    globalThis.openStream = async (path, release) => {
        for (;;) {
            const abort = new AbortController();
            const { body } = await fetch(path, { signal: abort.signal });
            const reader = body.pipeThrough(new TextDecoderStream()).getReader();
            if ((await reader.read()).value === release) {
                ends[path] = reader.read().then(({ value }) => value, () => 'broken off');
                return;
            }
            abort.abort();
        }
    };
";

#[tokio::test]
async fn open_calls_of_an_unused_channel_are_asked_to_end_and_closed() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let ada = || Actor::person("ada");
    let said = "document.querySelector('#open-calls').innerText";
    let press = |text: &str| {
        format!(
            "[...document.querySelectorAll('#open-calls button')].find((it) => it.innerText === '{text}')"
        )
    };
    page.evaluate(STREAMS).await;
    page.evaluate("openStream('/drained', 'v1')").await;
    shop.rollout().promote(ada(), "it is good").await.unwrap();
    page.evaluate("openStream('/endless', 'v2')").await;

    page.wait_for(&format!("{said}.includes('Stable gets no new calls, and 1 is still open.')"))
        .await;
    page.click(&press("Ask to end…")).await;
    page.wait_for(&format!("{DIALOG}?.startsWith('Ask to end 1 open call of stable?')")).await;
    page.click(SEND).await;
    assert_eq!(page.evaluate("ends['/drained']").await, "good-bye");

    shop.rollout().roll_back(ada(), "wrong totals").await.unwrap();
    assert_eq!(shop.rollout().status().rollout.phase(), Phase::RolledBack);
    page.wait_for(&format!("{said}.includes('Canary gets no new calls, and 1 is still open.')"))
        .await;
    take_picture(&mut page, "open-calls").await;
    page.click(&press("Close…")).await;
    page.wait_for(&format!("{DIALOG}?.startsWith('Close 1 open call of canary?')")).await;
    page.click(SEND).await;
    assert_eq!(page.evaluate("ends['/endless']").await, "broken off");
    page.wait_for(&format!("!{said}.includes('gets no new calls')")).await;
    assert_eq!(page.evaluate(&format!("{}.checkVisibility()", press("Close…"))).await, false);
}

#[tokio::test]
async fn the_places_where_mirrored_responses_differ_are_listed() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    for _ in 0..3 {
        page.evaluate("fetch('/total').then((response) => response.text())").await;
    }
    page.wait_for("document.querySelector('#mirror').innerText.includes('3 (100%)')").await;
    let places = "document.querySelector('#mirror tbody').innerText";
    assert_eq!(page.evaluate(places).await, "body/total\t3");
}
