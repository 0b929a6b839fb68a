use serde_json::json;

use crate::process::{DIALOG, Process, take_picture};

/// The head and the number of rows of the table in the open dialog, in JavaScript.
const TABLE: &str = "(() => {
    const table = document.querySelector('dialog[open]:last-of-type table');
    return table && {
        head: [...table.tHead.rows[0].cells].map((cell) => cell.innerText),
        isFilled: table.tBodies[0].rows.length > 0,
    };
})()";

#[tokio::test]
async fn each_chart_has_a_table_and_each_finding_a_history() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let hello = "fetch('/hello').then((response) => response.text())";
    while page.evaluate(hello).await != "v2" {}
    page.wait_for("document.querySelector('.chart path.line.canary')?.getAttribute('d')").await;

    for (title, lines) in [
        ("Weight", ["observed", "requested"]),
        ("Calls per second", ["stable", "canary"]),
        ("Failed calls", ["stable", "canary"]),
        ("99th percentile", ["stable", "canary"]),
    ] {
        page.click(&format!("document.querySelector('[aria-label=\"Table: {title}\"]')")).await;
        page.wait_for(&format!("{DIALOG}?.startsWith('{title}, last 5 min')")).await;
        let head = ["time", lines[0], lines[1], "events"];
        assert_eq!(page.evaluate(TABLE).await, json!({"head": head, "isFilled": true}), "{title}");
        page.press("Escape", 27).await;
        page.wait_for("!document.querySelector('dialog')").await;
    }

    page.click("document.querySelector('[aria-label=\"History: failures\"]')").await;
    let pictures = "[...document.querySelectorAll('dialog svg')].map((it) => it.ariaLabel).join()";
    let pictures = page.wait_for(pictures).await;
    let pictures = pictures.as_str().unwrap();
    assert!(pictures.starts_with("Ratio of failures, last 5 min: "), "{pictures}");
    assert!(pictures.contains(",Evidence of failures, last 5 min: harm 0%"), "{pictures}");
    take_picture(&mut page, "history").await;
    page.click("document.querySelector('dialog .aside')").await;
    let head = ["time", "ratio", "lower", "upper", "harm", "good"];
    assert_eq!(page.wait_for(TABLE).await, json!({"head": head, "isFilled": true}));
}

#[tokio::test]
async fn the_arrow_keys_read_the_values_of_the_charts() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let points =
        "document.querySelectorAll('.chart path.line.canary')[0]?.getAttribute('d').length";
    page.wait_for(&format!("{points} > 30")).await;
    page.evaluate("document.querySelector('.charts').focus()").await;
    let caption = "document.querySelector('.caption').innerText";
    page.press("ArrowLeft", 37).await;
    let latest = page.evaluate(caption).await;
    page.press("PageUp", 33).await;
    let earlier = page.evaluate(caption).await;
    let is_time = |text: &str| text.len() >= 8 && text.as_bytes()[2] == b':';
    assert!(is_time(latest.as_str().unwrap()) && is_time(earlier.as_str().unwrap()), "{earlier}");
    assert_ne!(latest, earlier);
    page.press("Escape", 27).await;
    assert_ne!(page.evaluate(caption).await, earlier);
}
