use std::time::Duration;

use canary_controller::{
    gate::{Confirm, GateQuestion, GateRunner},
    webhook::{SendFuture, WebhookClient},
};
use canary_rollout::{Plan, Timestamp, plan::Gate, tick::GateAnswer};
use http::{HeaderMap, Request};
use serde_json::json;

use crate::{
    fixtures::{PLAN, raising, rollout},
    scripted_transport::scripted,
    support::{client, hang, soon},
    webhook_server::{WebhookServer, reply},
};

fn now() -> Timestamp {
    "2026-11-24T09:00:00Z".parse().unwrap()
}

fn question() -> GateQuestion {
    GateQuestion::for_gate(&raising(), "deploys", now()).unwrap()
}

fn gate(kind: serde_json::Value) -> Gate {
    serde_json::from_value(json!({ "kind": kind })).unwrap()
}

fn webhook_gate(url: &str) -> Gate {
    gate(json!({ "webhook": { "url": url, "retries": 1, "secret_env": "SECRET" } }))
}

fn not_yet(reason: &str) -> GateAnswer {
    GateAnswer::NotYet(reason.into())
}

fn refused(reason: &str) -> GateAnswer {
    GateAnswer::Rejected(reason.into())
}

#[tokio::test]
async fn statuses_have_the_meaning_in_the_guide() {
    let moved = r#"{"reason": "a database is moved"}"#;
    for (status, body, answer) in [
        (200, moved, GateAnswer::Open),
        (200, "", GateAnswer::Open),
        (202, moved, not_yet("a database is moved")),
        (202, "", not_yet("")),
        (204, "", not_yet("answered 204")),
        (403, moved, refused("a database is moved")),
        (409, "ask on Monday", refused("ask on Monday")),
        (422, "", refused("answered 422")),
        (400, moved, not_yet("answered 400: a database is moved")),
        (404, "<html>", not_yet("answered 404")),
        (307, "", not_yet("answered 307: redirects are not followed")),
        (429, "", not_yet("answered 429")),
        (503, moved, not_yet("answered 503: a database is moved")),
    ] {
        let receiver = WebhookServer::start(move |_| async move { reply(status, body) }).await;
        let gates = GateRunner::new(client());
        let actual = soon(gates.ask(&webhook_gate(&receiver.url), &question())).await;
        assert_eq!(actual, answer, "{status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_hangs_means_not_yet() {
    let (transport, log) = scripted(|_| (0, HeaderMap::new()));
    let client = WebhookClient::new(transport).secrets(|_| Some("0123456789abcdef".into()));
    let answer =
        GateRunner::new(client).ask(&webhook_gate("http://a.example/x"), &question()).await;
    let reason = "http://a.example did not answer within 10s (2 requests)";
    assert_eq!(answer, not_yet(reason));
    assert_eq!(log.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn an_unreachable_webhook_means_not_yet_with_a_reason() {
    let gates = GateRunner::new(client());
    let answer = soon(gates.ask(&webhook_gate("http://127.0.0.1:1/hook"), &question())).await;
    let GateAnswer::NotYet(reason) = answer else { panic!("{answer:?}") };
    assert!(
        reason.starts_with("http://127.0.0.1:1 could not be reached (2 requests): "),
        "{reason}"
    );
    assert!(reason.to_lowercase().contains("refused"), "{reason}");
}

#[tokio::test]
async fn a_transport_that_panics_means_not_yet() {
    let transport =
        |_: Request<bytes::Bytes>, _: usize| -> SendFuture<'static> { panic!("no network") };
    let gates = GateRunner::new(WebhookClient::new(transport));
    let gate = gate(json!({ "webhook": { "url": "http://a.example", "retries": 0 } }));
    let answer = gates.ask(&gate, &question()).await;
    assert_eq!(answer, not_yet("http://a.example could not be reached: panicked: no network"));
}

#[tokio::test]
async fn each_ask_has_its_own_delivery_id_and_the_same_question_id() {
    let mut receiver = WebhookServer::of_status(202).await;
    let (gates, gate) = (GateRunner::new(client()), webhook_gate(&receiver.url));
    for _ in 0..2 {
        soon(gates.ask(&gate, &question())).await;
    }
    let [first, second] = [receiver.next().await, receiver.next().await];
    assert_ne!(first.header("x-canary-delivery"), second.header("x-canary-delivery"));
    assert_eq!(first.json()["id"], "checkout-3-1-deploys");
    assert_eq!(second.json()["id"], "checkout-3-1-deploys");
}

#[test]
fn a_question_distinguishes_starts_raises_and_promotions() {
    let at = |state: serde_json::Value, weight: &str, gate: &str| {
        let rollout = rollout(json!({ "state": state, "weight": weight }));
        let question = GateQuestion::for_gate(&rollout, gate, now()).unwrap();
        (question.confirm, question.step, question.next_weight.to_string())
    };
    let progress = json!({});
    let start = json!({ "phase": "starting", "progress": progress });
    assert_eq!(at(start, "0%", "schema"), (Confirm::Start, None, "1%".into()));
    let step = |step| json!({ "phase": "running", "step": step, "progress": progress });
    assert_eq!(at(step(0), "1%", "deploys"), (Confirm::Raise, Some(0), "10%".into()));
    assert_eq!(at(step(1), "10%", "managers"), (Confirm::Promotion, Some(1), "98%".into()));
    assert!(GateQuestion::for_gate(&raising(), "unknown", now()).is_none());
}

#[test]
fn the_deadline_accounts_for_the_time_waited() {
    // Asked an hour ago. Ten minutes do not count, because of a pause or missing ticks.
    let question = question();
    assert_eq!(question.asked_at.to_string(), "2026-11-24T08:00:00Z");
    assert_eq!(question.deadline.unwrap().to_string(), "2026-11-24T12:10:00Z");
}

#[tokio::test]
async fn functions_receive_the_question_and_answer_it() {
    let gates = GateRunner::new(client()).function("weekday", async |question: GateQuestion| {
        GateAnswer::Rejected(format!("{} not on a Friday", question.next_weight))
    });
    let answer = gates.ask(&gate(json!({ "function": "weekday" })), &question()).await;
    assert_eq!(answer, refused("10% not on a Friday"));
}

#[tokio::test]
async fn a_function_that_panics_means_not_yet() {
    let gates = GateRunner::new(client())
        .function("at-once", |_| -> std::future::Ready<GateAnswer> { panic!("no table") })
        .function("later", async |_| panic!("no row"));
    for (name, reason) in [
        ("at-once", r#"function "at-once" panicked: no table"#),
        ("later", r#"function "later" panicked: no row"#),
        ("unknown", r#"no function "unknown" is registered"#),
    ] {
        let answer = gates.ask(&gate(json!({ "function": name })), &question()).await;
        assert_eq!(answer, not_yet(reason));
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_hangs_means_not_yet() {
    let gates = GateRunner::new(client())
        .function("slow", async |_| hang().await)
        .function_timeout(Duration::from_secs(3));
    let answer = gates.ask(&gate(json!({ "function": "slow" })), &question()).await;
    assert_eq!(answer, not_yet(r#"function "slow" took longer than 3s"#));
}

#[tokio::test]
async fn an_approval_sends_no_request() {
    let (transport, log) = scripted(|_| (200, HeaderMap::new()));
    let gates = GateRunner::new(WebhookClient::new(transport));
    let answer = gates.ask(&gate(json!({ "approval": "managers" })), &question()).await;
    assert_eq!(answer, not_yet(""));
    assert!(log.lock().unwrap().is_empty());
}

#[test]
fn a_plan_with_missing_functions_or_invalid_webhooks_is_rejected() {
    let plan = Plan::from_toml(
        r#"
        steps = [{ weight = "1%", gates = ["a", "b", "c", "d"] }]
        gates.a.kind = { function = "weekday" }
        gates.b.kind.webhook = { url = "https://a.example/b", secret_env = "UNSET" }
        gates.c.kind.webhook = { url = "https://a.example/c", secret_env = "SHORT", retries = 11, headers_env = { x-a = "UNSET" } }
        gates.d.kind.webhook = { url = "https://anna:hush@a.example/d" }
        "#,
    )
    .unwrap();
    let (transport, _) = scripted(|_| (200, HeaderMap::new()));
    let client =
        WebhookClient::new(transport).secrets(|name| (name == "SHORT").then(|| "hush".to_owned()));
    let error = GateRunner::new(client).check_plan(&plan).unwrap_err();
    let expected = "gates.a.kind.function: no function \"weekday\" is registered\n\
        gates.b.kind.webhook.secret_env: the environment variable UNSET is not set\n\
        gates.c.kind.webhook.retries: 11 retries, expected at most 10\n\
        gates.c.kind.webhook.secret_env: the environment variable SHORT: secret of 4 bytes: expected at least 16\n\
        gates.c.kind.webhook.headers_env.x-a: the environment variable UNSET is not set\n\
        gates.d.kind.webhook.url: https://a.example: expected a URL without user and password";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_plan_with_webhooks_needs_a_transport() {
    let plan = Plan::from_toml(PLAN).unwrap();
    let gates = GateRunner::new(WebhookClient::without_transport())
        .function("is-migrated", async |_| GateAnswer::Open);
    let error = gates.check_plan(&plan).unwrap_err();
    assert_eq!(error.requirements().len(), 1);
    assert_eq!(error.requirements()[0].field, "gates.deploys.kind.webhook");
}
