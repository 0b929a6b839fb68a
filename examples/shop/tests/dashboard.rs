//! The page of the built shop, in a headless browser.
#![allow(clippy::unwrap_used)]

mod support;

use canary_tests::{browser_page::BrowserPage, skip::skip};

use self::support::Shop;

#[tokio::test]
async fn an_operator_sees_traffic_and_rolls_back_with_a_click_and_enter() {
    let shop = Shop::start(&["--load", "50", "--weight", "50%"]).await;
    let mut page = match BrowserPage::open(env!("CARGO_TARGET_TMPDIR")).await {
        Ok(page) => page,
        Err(reason) => return skip("dashboard", reason),
    };

    page.load(&format!("http://{}/canary/", shop.addr)).await;
    let calls = "document.querySelector('.channel.canary small')?.title";
    let first = page.wait_for(calls).await;
    page.wait_for(&format!("{calls} !== {first}")).await;
    page.wait_for("document.title.includes('50% shop')").await;

    page.click("document.querySelector('[data-command=roll_back]')").await;
    page.type_text("wrong totals").await;
    page.press("Enter", 13).await;
    page.wait_for("!document.querySelector('dialog')").await;
    for _ in 0..20 {
        assert_eq!(shop.get("/products/1").await.headers["x-canary-release"], "v1");
    }
    let sentence = "document.querySelector('#status').innerText.includes('wrong totals')";
    page.wait_for(sentence).await;
    page.wait_for("document.title.includes('0% shop')").await;
    assert_eq!(page.errors(), Vec::<String>::new());
}
