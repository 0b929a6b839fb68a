//! A real Prometheus that scrapes a fleet evaluates the rules and the queries of the dashboard.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::body::{Body, to_bytes};
use canary_tests::skip::skip;
use http::StatusCode;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{interval, timeout};

use super::{engine::Kind, replicas::Fleet, support::TIMEOUT};

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_sums_the_fleet_and_reports_a_rollback() {
    let plan = r#"
        steps = [{ weight = "20%", min_duration = "10h", deadline = "20h" }]
        monitors = [{ measure = "failures" }, { measure = "share" }]
    "#;
    let engine = Kind::Directory.start("a directory").unwrap();
    let fleet = Fleet::start(engine, 3, plan, &[]).await;
    let addresses: Vec<_> = fleet.replicas.iter().map(|it| it.shop.addr.as_str()).collect();
    let Some(prometheus) = Prometheus::start(&addresses).await else {
        return skip("the rules", "`prometheus` is not on the PATH");
    };
    fleet.resume();
    prometheus.wait_for(r#"canary_rollout_replicas{state="heard"} == 3"#).await;
    prometheus.wait_for("canary:driving:sum == 1").await;
    prometheus.wait_for(r#"sum(canary:requests:rate1m{channel="stable"}) > 100"#).await;
    prometheus.wait_for(r#"canary:failures:ratio1m{channel="canary"} == 0"#).await;
    prometheus.wait_for("abs(canary:share:ratio1m - 0.2) < 0.1").await;
    prometheus.wait_for("canary:request_duration_seconds:p99 < 1").await;
    prometheus.wait_for("canary:response_head_seconds:p50 < 1").await;
    prometheus.wait_for(r#"canary:rollout_phase:max{phase="running"} == 1"#).await;

    let mut empty = Vec::new();
    for (title, expr, legend) in queries() {
        let series = prometheus.query(&expr).await;
        if series.is_empty() {
            empty.push(title);
            continue;
        }
        for label in legend.split("{{").skip(1).map(|it| it.split_once("}}").unwrap().0) {
            let is_shown = series.iter().all(|it| it["metric"][label].is_string());
            assert!(is_shown, "{title}: {expr} has no {label}: {series:#?}");
        }
    }
    let unexpected: Vec<_> = empty.iter().filter(|title| !is_of_unused_feature(title)).collect();
    assert!(unexpected.is_empty(), "without data: {unexpected:?}");

    let firing = r#"ALERTS{alertname="CanaryRolledBack", alertstate="firing", canary="shop"}"#;
    assert!(prometheus.query(firing).await.is_empty());
    fleet.command(1, json!({"command": "roll_back", "reason": "wrong totals"})).await;
    prometheus.wait_for(firing).await;
    prometheus.wait_for(r#"canary:rollout_phase:max{phase="rolled_back"} == 1"#).await;
    prometheus.assert_rules_are_healthy().await;
}

/// Returns whether a panel is about something that the shop does not use.
fn is_of_unused_feature(title: &str) -> bool {
    title.contains("irrored") || title.contains("ratings")
}

/// Returns the title, the expression and the legend of each query of the dashboard.
fn queries() -> Vec<(String, String, String)> {
    let board = include_str!("../../../grafana/canary.json");
    let board: Value = serde_json::from_str(board).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut queries = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = text(&target["expr"]).replace("$canary", "shop");
            let expr = expr.replace("$__rate_interval", "1m").replace("$__range", "1h");
            queries.push((text(&panel["title"]), expr, text(&target["legendFormat"])));
        }
    }
    assert!(queries.len() > 30, "{queries:?}");
    queries
}

/// A Prometheus server that scrapes each second. It is killed when it is dropped.
struct Prometheus {
    process: Child,
    addr: String,
    client: Client<HttpConnector, Body>,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts a server with the rules of the examples. Returns `None` if it is not installed.
    async fn start(targets: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../grafana"));
        for rules in ["recording.yml", "alerts.yml"] {
            let text = fs::read_to_string(examples.join(rules)).unwrap();
            let text = text.replace("interval: 15s", "interval: 1s");
            fs::write(directory.path().join(rules), text).unwrap();
        }
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [recording.yml, alerts.yml]\n\
             scrape_configs: [{{job_name: shop, static_configs: [{{targets: {targets:?}}}]}}]\n"
        );
        let file = directory.path().join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        // The log names the free port.
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let entries = log.by_ref().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let listening = entries.into_iter().find(|entry| entry["msg"] == "Listening on");
        let listening = listening.expect("the log names the address");
        let addr = listening["address"].as_str().unwrap().to_owned();
        // A full pipe would stop the server.
        std::thread::spawn(move || log.for_each(drop));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let prometheus = Self { process, addr, client, _directory: directory };
        let mut poll = interval(Duration::from_millis(50));
        let ready = async {
            while prometheus.get("/-/ready").await.0 != StatusCode::OK {
                poll.tick().await;
            }
        };
        timeout(TIMEOUT, ready).await.expect("Prometheus should become ready");
        Some(prometheus)
    }

    /// Returns the series of an instant query.
    async fn query(&self, expr: &str) -> Vec<Value> {
        let encoded: String = expr.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (status, answer) = self.get(&format!("/api/v1/query?query={encoded}")).await;
        assert_eq!(status, StatusCode::OK, "{expr}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until an expression has a result.
    async fn wait_for(&self, expr: &str) {
        let mut poll = interval(Duration::from_millis(200));
        let awaited = async {
            while self.query(expr).await.is_empty() {
                poll.tick().await;
            }
        };
        timeout(TIMEOUT, awaited).await.unwrap_or_else(|_| panic!("{expr} has no result"));
    }

    async fn assert_rules_are_healthy(&self) {
        let (_, answer) = self.get("/api/v1/rules").await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let groups = answer["data"]["groups"].as_array().unwrap();
        let rules: Vec<_> = groups.iter().flat_map(|it| it["rules"].as_array().unwrap()).collect();
        assert!(rules.len() > 20 && rules.iter().all(|it| it["health"] == "ok"), "{rules:#?}");
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let uri = format!("http://{}{path}", self.addr).parse().unwrap();
        let (head, body) = self.client.get(uri).await.unwrap().into_parts();
        let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
        (head.status, String::from_utf8(body.to_vec()).unwrap())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
