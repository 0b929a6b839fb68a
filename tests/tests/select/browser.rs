use axum::{
    Json, Router,
    response::Html,
    routing::{get, post},
};
use canary_tests::{Server, browser::Browser, skip::skip, timeout::complete};
use serde_json::Value;
use tokio::sync::mpsc;
use tower_canary::{CanaryLayer, CanaryOptions, Channel, axum::RouterExt as _, select::Sticky};

use crate::shop::{HALF, signed_cookie};

const LOADS: usize = 6;

/// A page that contains the channel that served it, reloads itself several times, and reports the
/// channels.
fn version(channel: Channel) -> Router {
    let page = include_str!("../../clients/sticky.html");
    let page = page.replace("CHANNEL", channel.as_str()).replace("LOADS", &LOADS.to_string());
    Router::new()
        .route("/", get(async move || Html(page)))
        .route("/script", get(async move || channel.as_str()))
}

#[tokio::test]
async fn a_browser_keeps_its_channel_by_a_cookie_that_scripts_cannot_read() {
    let options = CanaryOptions::new().canary_release("v2");
    let options = options.select(Sticky::by_issued(signed_cookie()));
    let layer = CanaryLayer::with_options("shop", version(Channel::Canary), options);
    let handle = layer.handle();
    handle.set_weight(HALF).unwrap();
    let (report, mut reports) = mpsc::unbounded_channel::<Vec<Value>>();
    let reported = post(async move |Json(report_of_page): Json<Vec<Value>>| {
        report.send(report_of_page).unwrap();
    });
    let app =
        version(Channel::Stable).canary(layer).merge(Router::new().route("/report", reported));
    let server = Server::of_router(app);

    // Repeats until both channels had a browser. Six browsers get one channel once in 32 runs.
    let mut seen = Vec::new();
    for _ in 0..6 {
        let url = format!("http://{}/", server.address());
        let _browser = match Browser::start(&url, env!("CARGO_TARGET_TMPDIR")) {
            Ok(browser) => browser,
            Err(reason) => return skip("browser", reason),
        };
        let pages = complete(reports.recv()).await.unwrap();
        assert_eq!(pages.len(), LOADS);
        let channel = pages[0]["page"].as_str().unwrap().to_owned();
        for page in pages {
            assert_eq!(page["page"], channel, "the page");
            assert_eq!(page["script"], channel, "the script of the page");
            assert_eq!(page["cookies"], "", "the cookies that scripts can read");
        }
        seen.push(channel);
        if ["stable", "canary"].iter().all(|channel| seen.iter().any(|seen| seen == channel)) {
            break;
        }
    }
}
