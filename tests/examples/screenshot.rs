//! Takes a picture of a page: `screenshot URL FILE WIDTH HEIGHT CONDITION`.
//!
//! The condition is a JavaScript expression. The picture is taken as soon as it is truthy.

use std::{env, fs};

use anyhow::{Context as _, anyhow};
use canary_tests::browser_page::BrowserPage;
use serde_json::json;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [url, file, width, height, condition] = &arguments[..] else {
        return Err(anyhow!("expected URL FILE WIDTH HEIGHT CONDITION, got {arguments:?}"));
    };
    let (width, height): (u32, u32) = (width.parse()?, height.parse()?);
    let mut page = BrowserPage::open(env::temp_dir()).await.map_err(anyhow::Error::msg)?;
    let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
    page.call("Emulation.setDeviceMetricsOverride", size).await;
    page.call("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    page.load(url).await;
    page.wait_for(condition).await;
    let picture = page.screenshot().await;
    fs::write(file, picture).with_context(|| format!("cannot write {file}"))
}
