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

/// Returns the texts of the page whose contrast is below a ratio, in JavaScript. The style uses opacity
/// only for cards on the background of the page.
const FAINT: &str = "(least) => {
    const parts = (color) => color.match(/[\\d.]+/g).map(Number);
    const over = (top, below, alpha) => below.map((part, at) => alpha * top[at] + (1 - alpha) * part);
    const luminance = (color) => {
        const [r, g, b] = color.map((part) => {
            const value = part / 255;
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const style = (element) => getComputedStyle(element);
    const paper = parts(style(document.body).backgroundColor);
    const backgroundOf = (element) => {
        const [r, g, b, alpha = 1] = parts(style(element).backgroundColor);
        return alpha || !element.parentElement ? [r, g, b] : backgroundOf(element.parentElement);
    };
    const opacityOf = (element) =>
        element ? style(element).opacity * opacityOf(element.parentElement) : 1;
    const faint = new Set();
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode.data.trim();
        const element = texts.currentNode.parentElement;
        if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
        const { color, fill } = style(element);
        const ink = parts(element instanceof SVGElement ? fill : color).slice(0, 3);
        const back = backgroundOf(element);
        const [a, b] = [ink, back].map((it) => luminance(over(it, paper, opacityOf(element))));
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < least)
            faint.add(`${contrast.toFixed(2)} ${element.className.baseVal ?? element.className}: ${text}`);
    }
    return [...faint];
}";

#[tokio::test]
async fn all_texts_have_a_contrast_of_at_least_four_and_a_half() {
    let mut shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let hello = "fetch('/hello').then((response) => response.text())";
    while page.evaluate(hello).await != "v2" {}
    page.wait_for(&format!("{} && document.querySelector('.chart text')", button("approve"))).await;
    for theme in ["light", "dark"] {
        page.click("document.querySelector('#theme')").await;
        assert_eq!(page.evaluate(&format!("({FAINT})(4.5)")).await, json!([]), "{theme}");
    }
    shop.kill().await;
    page.wait_for("document.body.dataset.live === 'lost'").await;
    for theme in ["system", "light", "dark"] {
        page.click("document.querySelector('#theme')").await;
        assert_eq!(page.evaluate(&format!("({FAINT})(4.5)")).await, json!([]), "not live, {theme}");
    }
}
