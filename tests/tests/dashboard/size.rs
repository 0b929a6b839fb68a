use std::collections::BTreeSet;

use serde_json::json;

use crate::process::{Process, take_picture};

#[tokio::test]
async fn the_page_is_small_and_requests_nothing_from_elsewhere() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    page.wait_for("document.querySelector('.chart path.line.canary')").await;
    let resources = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .map((entry) => [entry.name, entry.encodedBodySize, entry.decodedBodySize])";
    let resources = page.evaluate(resources).await;
    let (origin, api) = (shop.url("/"), shop.url("/canary/"));
    let (mut files, mut sent, mut bytes) = (0, 0, 0);
    let mut data = BTreeSet::new();
    for resource in resources.as_array().unwrap() {
        let name = resource[0].as_str().unwrap();
        assert!(name.starts_with(&origin) || name.starts_with("data:"), "{name}");
        if name.contains("/canaries") || name.ends_with("/session") {
            data.insert(name.strip_prefix(&api).unwrap().split('?').next().unwrap());
        } else {
            files += 1;
            sent += resource[1].as_u64().unwrap();
            bytes += resource[2].as_u64().unwrap();
        }
    }
    assert!((20..=30).contains(&files), "{files} files");
    assert!((20_000..60_000).contains(&sent), "{sent} bytes are sent");
    assert!((20_000..150_000).contains(&bytes), "{bytes} bytes");
    // The stream itself is no entry before its end.
    let expected = ["canaries/shop/points", "canaries/shop/variables", "session"];
    assert_eq!(data, BTreeSet::from(expected));
    assert_eq!(page.errors(), Vec::<String>::new());
}

#[tokio::test]
async fn a_page_that_is_opened_again_loads_no_file_but_itself() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    page.load(&shop.url("/canary/?again#/shop")).await;
    page.wait_for("document.querySelector('.chart path.line.canary')").await;
    let transferred = "performance.getEntriesByType('resource')
        .filter((entry) => entry.name.includes('/assets/'))
        .map((entry) => [entry.name, entry.transferSize])";
    let transferred = page.evaluate(transferred).await;
    let transferred = transferred.as_array().unwrap();
    assert!(transferred.len() > 10, "{transferred:?}");
    for file in transferred {
        assert_eq!(file[1], 0, "{file:?}");
    }
}

#[tokio::test]
async fn the_page_fits_into_wide_and_narrow_windows() {
    let shop = Process::start().await;
    let Some(mut page) = shop.open_page().await else { return };
    let hello = "fetch('/hello').then((response) => response.text())";
    while page.evaluate(hello).await != "v2" {}
    page.wait_for("document.querySelector('.chart path.line.canary')").await;
    page.call("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    for (name, width, theme) in
        [("light", 1280, "light"), ("dark", 1280, "dark"), ("narrow", 390, "light")]
    {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        page.call("Emulation.setDeviceMetricsOverride", size).await;
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
        page.call("Emulation.setEmulatedMedia", media).await;
        let expected = if theme == "dark" { "rgb(18, 20, 23)" } else { "rgb(245, 245, 243)" };
        page.wait_for(&format!("getComputedStyle(document.body).backgroundColor === '{expected}'"))
            .await;
        page.wait_for(&format!("document.documentElement.scrollWidth <= {width}")).await;
        take_picture(&mut page, name).await;
    }
}
