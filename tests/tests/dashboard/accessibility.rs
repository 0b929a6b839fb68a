use serde_json::json;

use crate::process::{Process, button};

/// Roles whose elements need a name.
const NAMED: [&str; 14] = [
    "button",
    "checkbox",
    "combobox",
    "dialog",
    "group",
    "image",
    "link",
    "meter",
    "radio",
    "radiogroup",
    "region",
    "table",
    "textbox",
    "list",
];

#[tokio::test]
async fn every_control_and_chart_has_a_name() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let hello = "fetch('/hello').then((response) => response.text())";
    while page.evaluate(hello).await != "v2" {}
    page.wait_for("document.querySelector('.chart path.line')").await;
    // The first call of the canary lets the gate be asked.
    page.wait_for(&button("approve")).await;
    page.wait_for("document.querySelector('#events li') && document.querySelector('.findings li')")
        .await;

    let tree = page.call("Accessibility.getFullAXTree", json!({})).await;
    let mut names = Vec::new();
    for node in tree["nodes"].as_array().unwrap() {
        let role = node["role"]["value"].as_str().unwrap_or_default();
        if node["ignored"] == true || !NAMED.contains(&role) {
            continue;
        }
        let name = node["name"]["value"].as_str().unwrap_or_default();
        let described = node["description"]["value"].as_str().unwrap_or_default();
        assert!(!name.is_empty() || role == "list", "no name: {node:#}");
        names.push(format!("{role} {name}: {described}"));
    }
    for expected in [
        "button Roll back: The next call is served by v1.",
        "button Pause: ",
        "button Approve: ",
        "button Keyboard shortcuts",
        "image Share of the canary: requested 50%",
        "image Weight, last 5 min: now",
        "image Calls per second, last 5 min",
        "image Failed calls, last 5 min",
        "image 99th percentile, last 5 min",
        "button Table: Failed calls",
        "image failures: ",
        "image failures, on the way to the threshold",
        "meter evidence of harm",
        "meter proof of good",
        "radio 24 h",
        "region Events",
        "list Plan",
    ] {
        assert!(names.iter().any(|name| name.starts_with(expected)), "no {expected} in {names:#?}");
    }
}
