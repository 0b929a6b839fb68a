//! Rollouts of the built shop, with plans that take seconds.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use canary_tests::{etcd::Etcd, postgres::PostgresServer};
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{io::AsyncBufReadExt as _, process::Command, time::timeout};

use self::support::{CANARY, HttpResponse, Shop, TIMEOUT};

/// The directory of a test, with a plan and the state of its rollout.
struct TestDirectory(TempDir);

impl TestDirectory {
    fn with_plan(plan: &str) -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        fs::write(directory.plan(), plan).unwrap();
        directory
    }

    fn plan(&self) -> PathBuf {
        self.0.path().join("plan.toml")
    }

    async fn start(&self, options: &[&str]) -> Shop {
        let plan = self.plan();
        let plan = ["--plan", plan.to_str().unwrap()];
        Shop::start(&[&plan, options].concat()).await
    }

    /// Starts the shop with a stored state.
    async fn start_with_state(&self, options: &[&str]) -> Shop {
        self.start(&[&["--store", &self.store()], options].concat()).await
    }

    /// Returns the URL of a store in the directory.
    fn store(&self) -> String {
        format!("dir:{}", self.0.path().join("state").display())
    }
}

impl Shop {
    async fn give(&self, command: &str, reason: &str) -> HttpResponse {
        self.command(&json!({"command": command, "reason": reason})).await
    }

    async fn is_driving(&self) -> bool {
        self.view().await["driver"]["is_this"] == true
    }

    /// Returns what all processes show in the same way.
    async fn shared_view(&self) -> Value {
        let view = self.view().await;
        let fields = ["phase", "summary", "weight", "attempt", "stages", "latest", "storage"];
        let fields = fields.iter().map(|name| (*name, view[name].clone()));
        let events = self.get(&format!("{CANARY}/events")).await.text;
        json!([fields.collect::<BTreeMap<_, _>>(), events])
    }

    /// Returns the output up to the first line with this text.
    async fn output_until(&mut self, text: &str) -> String {
        let mut output = String::new();
        while !output.lines().last().is_some_and(|line| line.contains(text)) {
            let read = timeout(TIMEOUT, self.output.read_line(&mut output)).await;
            let read = read.unwrap_or_else(|_| panic!("no {text:?} after:\n{output}"));
            assert_ne!(read.unwrap(), 0, "the shop ended without {text:?}:\n{output}");
        }
        output
    }

    /// Returns the rest of the output, and the exit status.
    async fn output_to_the_end(&mut self) -> (String, Option<i32>) {
        let mut output = String::new();
        let read_all = async { while self.output.read_line(&mut output).await.unwrap() > 0 {} };
        timeout(TIMEOUT, read_all).await.expect("the shop should end");
        (output, self.process.wait().await.unwrap().code())
    }
}

/// Asserts that the output contains all parts in this order.
fn assert_in_order(output: &str, parts: &[&str]) {
    let mut rest = output;
    for part in parts {
        let found = rest.split_once(part);
        (_, rest) = found.unwrap_or_else(|| panic!("no {part:?} at its place in:\n{output}"));
    }
}

#[tokio::test]
async fn a_plan_promotes_version_2_and_prints_each_step() {
    let directory = TestDirectory::with_plan(FAST);
    let (output, status) = directory.start(&["--load", "500"]).await.output_to_the_end().await;
    assert_in_order(
        &output,
        &[
            "deployment started (attempt 1), weight 0%",
            "the plan began step 1 of 2, weight 10%",
            "the plan began step 2 of 2, weight 50%",
            "\n   reason: after ",
            "the judge began the bake, weight 80%",
            "the judge promoted the canary, weight 100%",
            "the rollout has ended: promoted (healthy",
            ", 0 of them with a failure",
        ],
    );
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn a_failing_version_2_is_rolled_back_with_the_reason() {
    let directory = TestDirectory::with_plan(FAST_WITHOUT_PROBE);
    let options = ["--load", "500", "--v2-error-rate", "50%"];
    let (output, status) = directory.start(&options).await.output_to_the_end().await;
    assert_in_order(
        &output,
        &[
            "the plan began step 1 of 2, weight 10%",
            "the judge rolled back, weight 0%",
            "reason: the canary is degraded\n   evidence: ",
            "`failures`",
            "the rollout has ended: rolled back (",
            "`failures`",
            "version 2 answered ",
        ],
    );
    assert!(!output.contains("promoted"), "{output}");
    assert_eq!(status, Some(2));
}

#[tokio::test]
async fn a_version_2_that_is_slow_at_first_is_promoted_after_its_warm_up() {
    for (warm_up, expected) in [("4s", 0), ("0s", 2)] {
        let directory = TestDirectory::with_plan(&FAST_WITH_LATENCY.replace("WARM_UP", warm_up));
        let options = ["--load", "500", "--v2-cold", "2s"];
        let (output, status) = directory.start(&options).await.output_to_the_end().await;
        assert_eq!(status, Some(expected), "{warm_up}: {output}");
    }
}

/// The calls of a user go to one version, so that users are compared and not calls.
#[tokio::test]
async fn users_that_stay_on_one_version_are_compared() {
    let directory = TestDirectory::with_plan(FAST);
    let options = ["--load", "1000", "--sticky-users", "20000"];
    let (output, status) = directory.start(&options).await.output_to_the_end().await;
    assert_in_order(&output, &["the rollout has ended: promoted (healthy", "canary keys affected"]);
    assert_eq!(status, Some(0));

    let directory = TestDirectory::with_plan(FAST_WITHOUT_PROBE);
    let options = [&options[..], &["--v2-error-rate", "50%"]].concat();
    let (_, status) = directory.start(&options).await.output_to_the_end().await;
    assert_eq!(status, Some(2));
}

#[tokio::test]
async fn a_hanging_version_2_is_rolled_back_though_the_plan_lists_only_failures() {
    let directory = TestDirectory::with_plan(FAST_WITHOUT_PROBE);
    let options = ["--load", "100", "--v2-hang-rate", "100%"];
    let (output, status) = directory.start(&options).await.output_to_the_end().await;
    assert_in_order(&output, &["rolled back", "`unanswered`", "have no answer after 5s"]);
    assert_eq!(status, Some(2));
}

#[tokio::test]
async fn a_failing_version_2_is_rolled_back_during_an_outage_of_both_versions() {
    let directory = TestDirectory::with_plan(FAST_WITHOUT_PROBE);
    let options = ["--load", "500", "--outage", "30%", "--v2-error-rate", "50%"];
    let (output, status) = directory.start(&options).await.output_to_the_end().await;
    assert_in_order(&output, &["the rollout has ended: rolled back (", "`failures`"]);
    assert_eq!(status, Some(2));
}

#[tokio::test]
async fn a_version_2_that_fails_its_probe_gets_no_calls() {
    let directory = TestDirectory::with_plan(FAST);
    let options = ["--load", "500", "--v2-error-rate", "100%"];
    let (output, status) = directory.start(&options).await.output_to_the_end().await;
    assert_in_order(
        &output,
        &[
            r#"probe "teapot" rolled back, weight 0%"#,
            "GET /products/1 answered 500, expected 200",
            "version 2 answered 0 calls",
        ],
    );
    assert!(!output.contains("began step"), "{output}");
    assert_eq!(status, Some(2));
}

#[tokio::test]
async fn a_gate_is_approved_over_http() {
    let directory = TestDirectory::with_plan(GATED);
    let mut shop = directory.start(&["--load", "500"]).await;
    shop.output_until(r#"asked gate "owner""#).await;
    let waiting = shop.view().await;
    let summary = waiting["summary"].as_str().unwrap();
    assert!(summary.contains(r#"approval of the owner (gate "owner")"#), "{summary}");

    let unknown_gate = shop.command(&json!({"command": "approve", "gate": "boss"})).await;
    assert_eq!(unknown_gate.status, StatusCode::CONFLICT);
    assert!(unknown_gate.text.contains("boss"), "{}", unknown_gate.text);

    let reason = "the totals are right";
    let opened =
        shop.command(&json!({"command": "approve", "gate": "owner", "reason": reason})).await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.text);
    let (output, status) = shop.output_to_the_end().await;
    assert_in_order(
        &output,
        &[
            r#"localhost opened gate "owner""#,
            "reason: the totals are right",
            "promoted the canary",
        ],
    );
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn an_operator_pauses_resumes_and_rolls_back_over_http() {
    let directory = TestDirectory::with_plan(STUCK);
    let mut shop = directory.start(&["--load", "100"]).await;
    shop.output_until("began step 2 of 2").await;

    let paused = shop.give("pause", "lunch").await.text;
    let paused: Value = serde_json::from_str(&paused).unwrap();
    assert_eq!(paused["canary"]["phase"], "paused");
    assert_eq!(paused["canary"]["weight"], "50%");
    let skipped = shop.give("skip_step", "").await;
    assert_eq!(skipped.status, StatusCode::CONFLICT);
    assert!(skipped.text.contains("resume it first"), "{}", skipped.text);

    shop.give("resume", "").await;
    assert_eq!(shop.view().await["phase"], "running");
    let unknown = shop.give("retreat", "").await;
    assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(unknown.text.contains("roll_back"), "{}", unknown.text);

    shop.give("roll_back", "wrong totals").await;
    let (output, status) = shop.output_to_the_end().await;
    assert_in_order(
        &output,
        &[
            "localhost paused, weight 50%\n   reason: lunch",
            "localhost resumed, weight 50%",
            "localhost rolled back, weight 0%\n   reason: wrong totals",
            "the rollout has ended: rolled back (by localhost: wrong totals)",
        ],
    );
    assert_eq!(status, Some(2));
}

#[tokio::test]
async fn a_shop_with_stay_can_restart_after_a_halt() {
    let directory = TestDirectory::with_plan(STUCK);
    let mut shop = directory.start(&["--load", "100", "--stay"]).await;
    shop.output_until("began step 2 of 2").await;
    shop.give("halt", "wrong totals").await;
    let rejected = shop.give("start", "").await;
    assert_eq!(rejected.status, StatusCode::CONFLICT);
    assert!(rejected.text.contains("lift-halt"), "{}", rejected.text);

    assert_eq!(shop.give("lift_halt", "").await.status, StatusCode::OK);
    assert_eq!(shop.give("start", "fixed").await.status, StatusCode::OK);
    shop.output_until("localhost started (attempt 2)").await;
}

#[tokio::test]
async fn a_killed_shop_continues_at_the_same_step() {
    let directory = TestDirectory::with_plan(STUCK);
    let mut shop = directory.start_with_state(&["--load", "100"]).await;
    shop.output_until("began step 2 of 2").await;
    shop.process.kill().await.unwrap();

    let mut shop = directory.start_with_state(&["--load", "100"]).await;
    let output = shop.output_until("now: step 2 of 2, holding at 50%").await;
    assert_in_order(&output, &["continuing the stored rollout", "began step 2 of 2"]);

    shop.give("promote_fully", "healthy").await;
    let (output, status) = shop.output_to_the_end().await;
    assert_in_order(&output, &["localhost promoted the canary, weight 100%"]);
    assert!(!output.contains("began step"), "{output}");
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn a_second_shop_follows_the_first_and_replaces_it_when_it_is_killed() {
    let directory = TestDirectory::with_plan(STUCK);
    follow_and_replace(&directory, &directory.store()).await;
}

#[tokio::test]
async fn shops_share_a_rollout_in_etcd() {
    let Some(etcd) = Etcd::start("shops with etcd", &[]) else { return };
    let url = etcd.url().replace("http://", "etcd://");
    follow_and_replace(&TestDirectory::with_plan(STUCK), &url).await;
}

#[tokio::test]
async fn shops_share_a_rollout_in_postgresql() {
    let Some(server) = PostgresServer::start("shops with PostgreSQL") else { return };
    follow_and_replace(&TestDirectory::with_plan(STUCK), &server.url()).await;
}

async fn follow_and_replace(directory: &TestDirectory, store: &str) {
    let options = ["--load", "100", "--store", store];
    let mut driver = directory.start(&options).await;
    driver.output_until("began step 2 of 2").await;
    let mut follower = directory.start(&options).await;
    follower.output_until("now: step 2 of 2, holding at 50%").await;
    assert!(driver.is_driving().await);
    assert!(!follower.is_driving().await);

    let paused = follower.give("pause", "lunch").await;
    assert_eq!(paused.status, StatusCode::OK, "{}", paused.text);
    driver.output_until("localhost paused").await;
    // A store on a busy disk may miss the deadline of a read once.
    let is_same = async { while driver.shared_view().await != follower.shared_view().await {} };
    timeout(TIMEOUT, is_same).await.expect("both shops should show the same");

    driver.process.kill().await.unwrap();
    follower.wait_for(|view| view["driver"]["is_this"] == true).await;
    follower.give("promote_fully", "healthy").await;
    let (output, status) = follower.output_to_the_end().await;
    assert_in_order(&output, &["localhost paused", "localhost promoted the canary, weight 100%"]);
    assert!(!output.contains("began step 1"), "{output}");
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn a_shop_that_is_stopped_early_reports_an_unfinished_rollout() {
    let directory = TestDirectory::with_plan(STUCK);
    let (output, status) =
        directory.start(&["--load", "100", "--for", "2"]).await.output_to_the_end().await;
    assert_in_order(&output, &["the rollout has not ended: step"]);
    assert_eq!(status, Some(3));
}

#[tokio::test]
async fn an_invalid_plan_is_reported_with_file_line_and_field() {
    let directory = TestDirectory::with_plan(
        "steps = [\n  { weight = \"10%\" },\n  { weight = \"1%\", hold = 3 },\n]\n",
    );
    let error = startup_error(&directory.plan()).await;
    let file = directory.plan().display().to_string();
    assert_in_order(
        &error,
        &["error: ", &file, " is not a valid plan\n", &format!("  {file}:3:"), "steps[1].hold"],
    );

    let directory =
        TestDirectory::with_plan("steps = [\n  { weight = \"10%\" },\n  { weight = \"1%\" },\n]\n");
    let error = startup_error(&directory.plan()).await;
    assert_in_order(&error, &[":3:", "steps[1].weight: 1% is below the previous step's 10%"]);

    let nowhere = directory.0.path().join("nowhere.toml");
    let error = startup_error(&nowhere).await;
    assert_in_order(&error, &["error: cannot read ", "nowhere.toml: "]);
    assert!(!error.contains("backtrace"), "{error}");
}

#[tokio::test]
async fn a_plan_with_an_unknown_function_is_rejected() {
    let directory = TestDirectory::with_plan(
        "start = { gates = [\"ci\"] }\nsteps = [{ weight = \"10%\" }]\ngates.ci.kind = { function = \"ci\" }\n",
    );
    let error = startup_error(&directory.plan()).await;
    assert_in_order(&error, &["cannot be run by this shop", "gates.ci.kind.function", "\"ci\""]);
}

#[tokio::test]
async fn an_invalid_option_has_status_1() {
    let run = Command::new(env!("CARGO_BIN_EXE_shop")).arg("--plans").output();
    assert_eq!(run.await.unwrap().status.code(), Some(1));
}

/// Returns the error of a shop that does not start.
async fn startup_error(plan: &Path) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_shop"))
        .args(["--addr", "127.0.0.1:0", "--plan"])
        .arg(plan)
        .env("RUST_BACKTRACE", "1")
        .kill_on_drop(true)
        .output();
    let output = timeout(TIMEOUT, run).await.expect("the shop should not start").unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Ends within seconds with a few hundred calls per second.
const FAST: &str = r#"
start = { probes = ["teapot"] }
steps = [
    { weight = "10%", min_duration = "200ms", min_calls = 10 },
    { weight = "50%", min_duration = "200ms", min_calls = 100 },
]
monitors = [{ measure = "failures" }]
bake = { duration = "200ms", holdback = "20%" }

[probes.teapot]
kind = { http = { path = "/products/1" } }
every = "1s"
failure_threshold = 1
"#;

const FAST_WITH_LATENCY: &str = r#"
steps = [
    { weight = "10%", min_duration = "200ms", min_calls = 10 },
    { weight = "50%", min_duration = "200ms", min_calls = 100 },
]
monitors = [
    { measure = "failures" },
    { measure = { slower_than_stable = { quantile = 0.9 } }, warm_up = "WARM_UP" },
]
bake = { duration = "200ms", holdback = "20%" }
"#;

const FAST_WITHOUT_PROBE: &str = r#"
steps = [
    { weight = "10%", min_duration = "200ms", min_calls = 10 },
    { weight = "50%", min_duration = "10m", min_calls = 100 },
]
monitors = [{ measure = "failures" }]
"#;

const GATED: &str = r#"
steps = [{ weight = "50%", min_duration = "200ms", min_calls = 10, gates = ["owner"] }]
monitors = [{ measure = "failures" }]
gates.owner.kind = { approval = "the owner" }
"#;

/// Stays in its second step.
const STUCK: &str = r#"
steps = [
    { weight = "10%", min_duration = "200ms", min_calls = 1 },
    { weight = "50%", min_duration = "1h", min_calls = 1000000 },
]
monitors = [{ measure = "failures" }]
"#;
