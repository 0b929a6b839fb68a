//! Rollouts of the built shop, by plans that take seconds.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use http::{Method, StatusCode};
use tempfile::TempDir;
use tokio::{io::AsyncBufReadExt as _, process::Command, time::timeout};

use self::support::{Answer, PATIENCE, Shop};

/// A directory for one test: its plan, and the state of its rollout.
struct Desk(TempDir);

impl Desk {
    fn with(plan: &str) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::write(desk.plan(), plan).unwrap();
        desk
    }

    fn plan(&self) -> PathBuf {
        self.0.path().join("plan.toml")
    }

    async fn open(&self, options: &[&str]) -> Shop {
        let plan = self.plan();
        let plan = ["--plan", plan.to_str().unwrap()];
        Shop::open(&[&plan, options].concat()).await
    }

    /// Opens it with a state that outlives the process.
    async fn open_again(&self, options: &[&str]) -> Shop {
        let state = self.0.path().join("state");
        let state = ["--state", state.to_str().unwrap()];
        self.open(&[&state, options].concat()).await
    }
}

impl Shop {
    async fn command(&self, command: &str, body: &str) -> Answer {
        self.call(Method::POST, &format!("/rollout/{command}"), body).await
    }

    /// What is printed, down to the first line with this text.
    async fn told_until(&mut self, text: &str) -> String {
        let mut told = String::new();
        while !told.lines().last().is_some_and(|line| line.contains(text)) {
            let read = timeout(PATIENCE, self.output.read_line(&mut told)).await;
            let read = read.unwrap_or_else(|_| panic!("no {text:?} comes after:\n{told}"));
            assert_ne!(read.unwrap(), 0, "the shop ended without {text:?}:\n{told}");
        }
        told
    }

    /// What is printed down to the end, and the exit status.
    async fn told_to_the_end(&mut self) -> (String, Option<i32>) {
        let mut told = String::new();
        let read_all = async { while self.output.read_line(&mut told).await.unwrap() > 0 {} };
        timeout(PATIENCE, read_all).await.expect("the shop ends");
        (told, self.process.wait().await.unwrap().code())
    }
}

/// Has all of them, in this order.
fn assert_in_order(told: &str, parts: &[&str]) {
    let mut rest = told;
    for part in parts {
        let found = rest.split_once(part);
        (_, rest) = found.unwrap_or_else(|| panic!("no {part:?} where it should be in:\n{told}"));
    }
}

#[tokio::test]
async fn a_plan_takes_version_2_to_its_promotion_and_tells_each_step() {
    let desk = Desk::with(FAST);
    let (told, status) = desk.open(&["--load", "500"]).await.told_to_the_end().await;
    assert_in_order(
        &told,
        &[
            "deployment started (attempt 1), weight 0%",
            "the plan began step 1 of 2, weight 10%",
            "the plan began step 2 of 2, weight 50%",
            "\n   why: after ",
            "the judge began the bake, weight 80%",
            "the judge promoted the canary, weight 100%",
            "the rollout is over: promoted (healthy",
            ", and failed 0 of them",
        ],
    );
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn a_version_2_that_fails_is_taken_back_with_the_reason() {
    let desk = Desk::with(FAST_WITHOUT_PROBE);
    let options = ["--load", "500", "--v2-error-rate", "50%"];
    let (told, status) = desk.open(&options).await.told_to_the_end().await;
    assert_in_order(
        &told,
        &[
            "the plan began step 1 of 2, weight 10%",
            "the judge rolled back, weight 0%",
            "why: the canary is degraded\n   evidence: ",
            "`failures`",
            "the rollout is over: rolled back (",
            "`failures`",
            "version 2 has answered ",
        ],
    );
    assert!(!told.contains("promoted"), "{told}");
    assert_eq!(status, Some(2));
}

#[tokio::test]
async fn a_version_2_that_fails_its_probe_serves_nobody() {
    let desk = Desk::with(FAST);
    let options = ["--load", "500", "--v2-error-rate", "100%"];
    let (told, status) = desk.open(&options).await.told_to_the_end().await;
    assert_in_order(
        &told,
        &[
            r#"probe "teapot" rolled back, weight 0%"#,
            "GET /products/1 answered 500, expected 200",
            "version 2 has answered 0 calls",
        ],
    );
    assert!(!told.contains("began step"), "{told}");
    assert_eq!(status, Some(2));
}

#[tokio::test]
async fn a_gate_waits_for_an_approval_by_http() {
    let desk = Desk::with(GATED);
    let mut shop = desk.open(&["--load", "500"]).await;
    shop.told_until(r#"asked gate "owner""#).await;
    let waiting = shop.get("/rollout").await.text;
    assert!(waiting.contains(r#"approval of the owner (gate \"owner\")"#), "{waiting}");
    assert!(waiting.contains(r#""approve""#), "{waiting}");

    let wrong = shop.command("approve/boss", "").await;
    assert_eq!(wrong.status, StatusCode::CONFLICT);
    assert!(wrong.text.contains(r#""boss""#), "{}", wrong.text);
    assert_eq!(shop.command("approve", "").await.status, StatusCode::BAD_REQUEST);

    let opened = shop.command("approve/owner", "the totals are right").await;
    assert_eq!(opened.status, StatusCode::OK, "{}", opened.text);
    let (told, status) = shop.told_to_the_end().await;
    assert_in_order(
        &told,
        &[r#"ada opened gate "owner""#, "why: the totals are right", "promoted the canary"],
    );
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn a_person_pauses_resumes_and_rolls_back_by_http() {
    let desk = Desk::with(STUCK);
    let mut shop = desk.open(&["--load", "100"]).await;
    shop.told_until("began step 2 of 2").await;

    let paused = shop.command("pause", "lunch").await.text;
    assert!(paused.contains(r#""phase": "paused""#), "{paused}");
    assert!(paused.contains(r#""weight": "50%""#), "{paused}");
    let skipped = shop.command("skip-step", "").await;
    assert_eq!(skipped.status, StatusCode::CONFLICT);
    assert!(skipped.text.contains("resume first"), "{}", skipped.text);

    let resumed = shop.command("resume", "").await.text;
    assert!(resumed.contains(r#""phase": "running""#), "{resumed}");
    let unknown = shop.command("retreat", "").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.text.contains("roll-back"), "{}", unknown.text);

    shop.command("roll-back", "wrong totals").await;
    let (told, status) = shop.told_to_the_end().await;
    assert_in_order(
        &told,
        &[
            "ada paused, weight 50%\n   why: lunch",
            "ada resumed, weight 50%",
            "ada rolled back, weight 0%\n   why: wrong totals",
            "the rollout is over: rolled back (by ada: wrong totals)",
        ],
    );
    assert_eq!(status, Some(2));
}

#[tokio::test]
async fn a_shop_that_stays_can_start_again_after_a_halt() {
    let desk = Desk::with(STUCK);
    let mut shop = desk.open(&["--load", "100", "--stay"]).await;
    shop.told_until("began step 2 of 2").await;
    shop.command("halt", "wrong totals").await;
    let refused = shop.command("start", "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("release"), "{}", refused.text);

    assert_eq!(shop.command("release", "").await.status, StatusCode::OK);
    assert_eq!(shop.command("start", "mended").await.status, StatusCode::OK);
    shop.told_until("ada started (attempt 2)").await;
}

#[tokio::test]
async fn a_killed_shop_goes_on_at_the_same_step() {
    let desk = Desk::with(STUCK);
    let mut shop = desk.open_again(&["--load", "100"]).await;
    shop.told_until("began step 2 of 2").await;
    shop.process.kill().await.unwrap();

    let mut shop = desk.open_again(&["--load", "100"]).await;
    let told = shop.told_until("now: step 2 of 2, holding at 50%").await;
    assert_in_order(&told, &["going on from what is stored", "began step 2 of 2"]);

    shop.command("promote-fully", "it is well").await;
    let (told, status) = shop.told_to_the_end().await;
    assert_in_order(&told, &["ada promoted the canary, weight 100%"]);
    assert!(!told.contains("began step"), "{told}");
    assert_eq!(status, Some(0));
}

#[tokio::test]
async fn a_shop_that_is_stopped_early_says_that_nothing_is_decided() {
    let desk = Desk::with(STUCK);
    let (told, status) = desk.open(&["--load", "100", "--for", "2"]).await.told_to_the_end().await;
    assert_in_order(&told, &["the rollout is not over: step"]);
    assert_eq!(status, Some(3));
}

#[tokio::test]
async fn a_wrong_plan_is_told_with_file_line_and_field() {
    let desk =
        Desk::with("steps = [\n  { weight = \"10%\" },\n  { weight = \"1%\", hold = 3 },\n]\n");
    let error = refusal(&desk.plan()).await;
    let file = desk.plan().display().to_string();
    assert_in_order(
        &error,
        &["error: ", &file, " is no plan\n", &format!("  {file}:3:"), "steps[1].hold"],
    );

    let desk = Desk::with("steps = [\n  { weight = \"10%\" },\n  { weight = \"1%\" },\n]\n");
    let error = refusal(&desk.plan()).await;
    assert_in_order(&error, &[":3:", "steps[1].weight: 1% is not above the step before, 10%"]);

    let nowhere = desk.0.path().join("nowhere.toml");
    let error = refusal(&nowhere).await;
    assert_in_order(&error, &["error: cannot read ", "nowhere.toml: "]);
    assert!(!error.contains("backtrace"), "{error}");
}

#[tokio::test]
async fn a_plan_that_needs_what_the_shop_has_not_is_refused() {
    let desk = Desk::with(
        "start = { gates = [\"ci\"] }\nsteps = [{ weight = \"10%\" }]\ngates.ci.kind = { function = \"ci\" }\n",
    );
    let error = refusal(&desk.plan()).await;
    assert_in_order(&error, &["is no plan for this shop", "gates.ci.kind.function", "\"ci\""]);
}

#[tokio::test]
async fn a_wrong_option_is_no_rollback() {
    let run = Command::new(env!("CARGO_BIN_EXE_shop")).arg("--plans").output();
    assert_eq!(run.await.unwrap().status.code(), Some(1));
}

/// What a shop says that does not open.
async fn refusal(plan: &Path) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_shop"))
        .args(["--addr", "127.0.0.1:0", "--plan"])
        .arg(plan)
        .env("RUST_BACKTRACE", "1")
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.expect("it does not open").unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// To its end in seconds, with some hundred calls a second.
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

/// Comes to its second step, and no further by itself.
const STUCK: &str = r#"
steps = [
    { weight = "10%", min_duration = "200ms", min_calls = 1 },
    { weight = "50%", min_duration = "1h", min_calls = 1000000 },
]
"#;
