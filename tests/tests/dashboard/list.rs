use canary_controller::Actor;
use serde_json::json;

use crate::process::{IS_LIVE, Process, take_picture};

#[tokio::test]
async fn the_list_shows_the_state_of_each_canary_and_leads_to_it() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    page.load(&shop.url("/canary/#/")).await;
    let rows = "JSON.stringify([...document.querySelectorAll('.canaries li')]
        .map((row) => ['h2', '.said', '.shares'].map((it) => row.querySelector(it).innerText)))";
    let cart = ["cart", "○ Idle: waiting for a start", "requested 0% · no calls"];
    let expect = |said| json!([cart, ["shop", said, "requested 50% · no calls"]]).to_string();
    page.wait_for(&format!(
        "{rows} === {}",
        json!(expect("● Step 1 of 2, holding at 50%: 0 of 1 needed canary calls"))
    ))
    .await;

    shop.rollout().roll_back(Actor::person("ada"), "wrong totals").await.unwrap();
    page.wait_for(&format!("{rows}.includes('↩ Rolled back')")).await;
    take_picture(&mut page, "list").await;
    page.click("document.querySelector('.canaries li:last-child a')").await;
    page.wait_for(&format!("location.hash === '#/shop' && {IS_LIVE}")).await;
    page.wait_for("document.title === '↩ 0% shop'").await;
}
