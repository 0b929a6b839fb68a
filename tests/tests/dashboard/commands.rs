use canary_controller::{Actor, Phase};

use crate::process::{DIALOG, Process, SEND, button, take_picture};

#[tokio::test]
async fn a_dialog_shows_the_effect_and_sends_the_reason() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };

    page.click(&button("pause")).await;
    page.wait_for(&format!("{DIALOG}?.includes('The plan waits until it is resumed.')")).await;
    page.wait_for(&format!("!{SEND}.disabled")).await;
    page.type_text("lunch").await;
    take_picture(&mut page, "dialog").await;
    page.press("Enter", 13).await;
    page.wait_for("!document.querySelector('dialog')").await;

    page.wait_for("document.querySelector('.waits').innerText.includes('lunch')").await;
    let event = "document.querySelector('#events li').innerText";
    page.wait_for(&format!("{event}.includes('paused') && {event}.includes('lunch')")).await;
    assert_eq!(shop.rollout().status().rollout.phase(), Phase::Paused);
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test]
async fn a_change_by_another_operator_is_shown_before_the_command_is_sent_again() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };

    page.click(&button("promote")).await;
    page.wait_for(&format!("!{SEND}.disabled")).await;
    let bob = Actor::person("bob");
    shop.rollout().pause(bob, "the totals look wrong").await.unwrap();
    page.click(SEND).await;
    page.wait_for(&format!("{DIALOG}?.includes('Not done')")).await;
    let dialog = page.evaluate(DIALOG).await;
    let dialog = dialog.as_str().unwrap();
    assert!(dialog.contains("bob paused") && dialog.contains("the totals look wrong"), "{dialog}");
    assert_eq!(shop.rollout().status().rollout.phase(), Phase::Paused);

    page.wait_for(&format!("{SEND}.innerText === 'Promote anyway' && !{SEND}.disabled")).await;
    take_picture(&mut page, "conflict").await;
    page.click(SEND).await;
    page.wait_for("!document.querySelector('dialog')").await;
    page.wait_for("document.querySelector('#status').textContent.startsWith('promoted')").await;
    assert_eq!(shop.rollout().status().rollout.phase(), Phase::Promoted);
}

#[tokio::test]
async fn a_refused_button_says_why() {
    let shop = Process::start().await;
    shop.rollout().roll_back(Actor::person("bob"), "wrong totals").await.unwrap();
    let Some(mut page) = shop.open_page().await else { return };

    page.wait_for(&format!("{}?.ariaDisabled === 'true'", button("promote"))).await;
    page.click(&button("promote")).await;
    page.wait_for(&format!("{DIALOG}?.startsWith('Promote is not possible now')")).await;
}

#[tokio::test]
async fn a_link_opens_the_question_of_a_gate() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    // The gate is asked after the first call of the canary.
    let hello = "fetch('/hello').then((response) => response.text())";
    while page.evaluate(hello).await != "v2" {}
    page.wait_for(&format!("{} && document.querySelector('.gates')?.innerText", button("approve")))
        .await;

    page.load(&shop.url("/canary/#/shop/approve/owner")).await;
    page.wait_for(&format!("{DIALOG}?.startsWith('Approve gate')")).await;
    page.wait_for(&format!("!{SEND}.disabled")).await;
    page.press("Enter", 13).await;
    page.wait_for("!document.querySelector('dialog')").await;
    page.wait_for("document.querySelector('#events').innerText.includes('opened gate')").await;
}

/// Loses the response to the first command that is sent from now on.
const LOSE_A_RESPONSE: &str = "
    (() => {
        const request = fetch;
        globalThis.fetch = async (path, options) => {
            const response = await request(path, options);
            if (options?.method !== 'POST' || String(path).includes('dry')) return response;
            globalThis.fetch = request;
            throw new TypeError('the response is lost');
        };
    })()
";

#[tokio::test]
async fn a_command_whose_response_was_lost_is_not_repeated() {
    for is_changed_since in [false, true] {
        let shop = Process::start().await;
        let Some(mut page) = shop.open_page().await else { return };
        page.evaluate(LOSE_A_RESPONSE).await;
        page.click(&button("promote")).await;
        page.wait_for(&format!("!{SEND}.disabled")).await;
        page.click(SEND).await;
        page.wait_for(&format!("{DIALOG}?.includes('may have been carried out')")).await;
        assert_eq!(shop.rollout().status().rollout.phase(), Phase::Promoted);
        if is_changed_since {
            shop.rollout().roll_back(Actor::person("bob"), "wrong totals").await.unwrap();
        }
        let events = shop.rollout().history(100).await.unwrap().len();
        page.wait_for(&format!("{SEND}.innerText === 'Promote: try again' && !{SEND}.disabled"))
            .await;
        page.click(SEND).await;
        page.wait_for("!document.querySelector('dialog')").await;
        assert_eq!(shop.rollout().history(100).await.unwrap().len(), events);
    }
}
