//! The page of a replica shows which replicas the driver hears, and why a plan stands still.

use std::{env, fs};

use canary_tests::{browser_page::BrowserPage, skip::skip};

use super::{engine::Kind, replicas::Fleet};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_silent_replicas_and_a_missing_quorum() {
    let mut page = match BrowserPage::open(env!("CARGO_TARGET_TMPDIR")).await {
        Ok(page) => page,
        Err(reason) => return skip("the page of a fleet", reason),
    };
    let engine = Kind::Directory.start("a directory").unwrap();
    let mut fleet = Fleet::start(engine, 3, PLAN, &[]).await;
    fleet.resume();
    let driver = fleet.driver().await;
    fleet.replicas.swap(0, driver);
    page.load(&format!("http://{}/canary/", fleet.replicas[0].shop.addr)).await;
    page.wait_for(&format!("{REPLICAS} === '3 of 3 heard'")).await;
    assert_eq!(page.evaluate(&format!("{ALARMS}.includes('silent')")).await, false);

    let names = [killed_name(&mut fleet).await, killed_name(&mut fleet).await];
    page.wait_for(&format!("{REPLICAS} === '1 of 3 heard'")).await;
    for name in names {
        page.wait_for(&format!("{ALARMS}.includes('{name}')")).await;
    }
    page.wait_for(&format!("{ALARMS}.includes('1 of 3 replicas heard; silent: ')")).await;
    page.wait_for("document.body.innerText.includes('1 of 3 replicas heard, at least 2 needed')")
        .await;
    if let Some(directory) = env::var_os("CANARY_SCREENSHOTS") {
        let picture = page.screenshot().await;
        fs::write(std::path::Path::new(&directory).join("fleet.png"), picture).unwrap();
    }

    // Those that replace them are a quorum again, together with the one that was left.
    for _ in 0..2 {
        fleet.join().await;
    }
    page.wait_for(&format!("{REPLICAS} === '3 of 5 heard'")).await;
    page.wait_for("!document.body.innerText.includes('at least')").await;
    assert_eq!(page.errors(), Vec::<String>::new());
}

/// Kills the last replica, and returns the name under which the driver knows it.
async fn killed_name(fleet: &mut Fleet) -> String {
    let before = silent(fleet).await;
    fleet.kill(fleet.replicas.len() - 1).await;
    fleet
        .wait_until("one more is silent", |views| {
            views[0]["fleet"]["silent"].as_array().is_some_and(|it| it.len() > before.len())
        })
        .await;
    let after = silent(fleet).await;
    after.into_iter().find(|name| !before.contains(name)).unwrap()
}

async fn silent(fleet: &Fleet) -> Vec<String> {
    let view = fleet.replicas[0].shop.view().await;
    serde_json::from_value(view["fleet"]["silent"].clone()).unwrap_or_default()
}

const REPLICAS: &str = "[...document.querySelectorAll('.facts > div')]\
    .find((it) => it.innerText.toLowerCase().startsWith('replicas'))?.lastChild.innerText";
const ALARMS: &str = "document.querySelector('.alarms').innerText";

const PLAN: &str = r#"
steps = [
    { weight = "10%", min_duration = "10h", deadline = "20h" },
    { weight = "50%", min_duration = "10h", deadline = "20h" },
]
monitors = [{ measure = "failures" }]
"#;
