//! Keys, themes and paper.

use serde_json::json;

use crate::process::{DIALOG, IS_LIVE, Process};

#[tokio::test]
async fn keys_open_dialogs_and_move_the_view_until_they_are_switched_off() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let is_open = "document.querySelector('dialog') !== null";

    page.press("p", 80).await;
    page.wait_for(&format!("{DIALOG}?.startsWith('Pause shop?')")).await;
    // While a dialog is open, a key belongs to it.
    page.press("h", 72).await;
    assert_eq!(page.evaluate("document.querySelectorAll('dialog').length").await, 1);
    page.press("Escape", 27).await;
    page.wait_for(&format!("!({is_open})")).await;
    page.press("2", 50).await;
    page.wait_for("document.querySelector('#range-1').checked").await;
    page.wait_for(
        "document.querySelector('.chart svg')?.ariaLabel?.startsWith('Weight, last 1 h')",
    )
    .await;

    page.press("?", 191).await;
    page.wait_for(&format!("{DIALOG}?.includes('Roll back')")).await;
    page.click("document.querySelector('#shortcuts-on')").await;
    page.press("Escape", 27).await;
    page.wait_for(&format!("!({is_open})")).await;
    page.press("p", 80).await;
    assert_eq!(page.evaluate(is_open).await, false);

    page.press("?", 191).await;
    page.click("document.querySelector('#shortcuts-on')").await;
    page.press("Escape", 27).await;
    page.wait_for(&format!("!({is_open})")).await;
    page.press("l", 76).await;
    page.wait_for("location.hash === '#/' && document.querySelector('#list-title')").await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test]
async fn a_chosen_theme_is_kept_and_paper_is_always_light() {
    const LIGHT: &str = "rgb(245, 245, 243)";
    const DARK: &str = "rgb(18, 20, 23)";
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let background = "getComputedStyle(document.body).backgroundColor";
    let theme = "document.querySelector('#theme')";
    for (text, expected) in [("light", LIGHT), ("dark", DARK)] {
        page.click(theme).await;
        assert_eq!(page.evaluate(&format!("{theme}.innerText")).await, format!("Theme: {text}"));
        assert_eq!(page.evaluate(background).await, expected);
    }
    page.load(&shop.url("/canary/?again#/shop")).await;
    page.wait_for(IS_LIVE).await;
    assert_eq!(page.evaluate(background).await, DARK);

    let actions = "document.querySelector('.top > .actions').checkVisibility()";
    assert_eq!(page.evaluate(actions).await, true);
    page.call("Emulation.setEmulatedMedia", json!({"media": "print"})).await;
    assert_eq!(page.evaluate(background).await, LIGHT);
    assert_eq!(page.evaluate(actions).await, false);
}
