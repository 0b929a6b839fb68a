//! The examples of the guide match the implementation.

use std::{
    env,
    io::Write as _,
    process::{Command, Stdio},
};

use canary_controller::{
    gate::GateQuestion,
    notify::{Notification, slack_body},
};
use canary_rollout::Plan;
use serde_json::{Value, json};

use crate::{
    fixtures::{event, raising},
    support::{SECRET, client, webhook},
    webhook_server::{Received, WebhookServer},
};

const GUIDE: &str = include_str!("../../docs/hooks.md");

/// Returns the code block after this text.
fn block(before: &str) -> &'static str {
    let (_, rest) = GUIDE.split_once(before).unwrap();
    let (_, rest) = rest.split_once("```").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("```").unwrap().0
}

fn shown(name: &str) -> Value {
    serde_json::from_str(block(&format!("<!-- json: {name} -->"))).unwrap()
}

fn rolled_back() -> Notification {
    let page = "https://ops.example/canary".parse().unwrap();
    Notification::new(&raising(), event(json!({}))).with_page(&page)
}

#[test]
fn the_question_matches_the_guide() {
    let now = "2026-11-24T09:00:00Z".parse().unwrap();
    let question = GateQuestion::for_gate(&raising(), "deploys", now).unwrap();
    assert_eq!(serde_json::to_value(question).unwrap(), shown("question"));
}

#[test]
fn the_event_matches_the_guide() {
    let body: Value = serde_json::from_str(&rolled_back().to_json(0)).unwrap();
    assert_eq!(body, shown("event"));
}

#[test]
fn the_chat_message_matches_the_guide() {
    let body: Value = serde_json::from_str(&slack_body(&rolled_back(), 0)).unwrap();
    assert_eq!(body, shown("slack"));
}

#[test]
fn the_plan_in_the_guide_is_valid() {
    let plan = Plan::from_toml(block("## Configure the plan")).unwrap();
    assert_eq!(plan.notify().len(), 2);
}

/// Returns a signed request, as received from a socket.
async fn signed() -> Received {
    let mut receiver = WebhookServer::of_status(200).await;
    let webhook = webhook(&receiver.url, &json!({ "secret_env": "SECRET" }));
    client().post(&webhook, "1", r#"{"why":"too many failures: 5.1 %, ä"}"#).await.unwrap();
    receiver.next().await
}

#[tokio::test]
async fn the_python_code_of_the_guide_accepts_only_our_signatures() {
    let received = signed().await;
    let program = format!(
        "{}\nimport json, sys\nit = json.load(sys.stdin)\n\
         print(is_authentic(it['secret'].encode(), it['headers'], bytes(it['body'])))\n",
        block("In Python:"),
    );
    let header = |name: &str| received.header(name).to_owned();
    let (timestamp, signature) = (header("x-canary-timestamp"), header("x-canary-signature"));
    let good = json!({
        "x-canary-timestamp": timestamp,
        "x-canary-delivery": header("x-canary-delivery"),
        "x-canary-signature": signature,
    });
    let old = (timestamp.parse::<u64>().unwrap() - 400).to_string();
    let body = &received.body;
    let mut cases = vec![
        (SECRET, good.clone(), body.clone(), "True"),
        ("another secret of some length", good.clone(), body.clone(), "False"),
        (SECRET, good.clone(), b"{}".to_vec(), "False"),
        (SECRET, json!({}), body.clone(), "False"),
    ];
    let plus = format!("+{timestamp}");
    let hostile = [
        ("x-canary-timestamp", json!(old)),
        ("x-canary-timestamp", json!("soon")),
        ("x-canary-timestamp", json!("")),
        ("x-canary-timestamp", json!(plus)),
        ("x-canary-timestamp", json!(format!("{timestamp}\n"))),
        ("x-canary-timestamp", json!("9".repeat(5_000))),
        ("x-canary-timestamp", json!("\u{661}\u{662}")),
        ("x-canary-timestamp", json!(["1", "2"])),
        ("x-canary-timestamp", json!(null)),
        ("x-canary-delivery", json!("another")),
        ("x-canary-delivery", json!("1.x")),
        ("x-canary-delivery", json!("\u{e4}")),
        ("x-canary-delivery", json!(null)),
        ("x-canary-signature", json!("")),
        ("x-canary-signature", json!("sha256=")),
        ("x-canary-signature", json!("sha256=\u{e4}\u{1F424}")),
        ("x-canary-signature", json!({})),
        ("x-canary-signature", json!(signature.to_uppercase())),
    ];
    for (name, value) in hostile {
        let mut headers = good.clone();
        headers[name] = value;
        cases.push((SECRET, headers, body.clone(), "False"));
    }
    for name in ["x-canary-timestamp", "x-canary-delivery", "x-canary-signature"] {
        let mut headers = good.clone();
        headers.as_object_mut().unwrap().remove(name);
        cases.push((SECRET, headers, body.clone(), "False"));
    }
    for (secret, headers, body, expected) in cases {
        let input = json!({ "secret": secret, "headers": headers, "body": body }).to_string();
        match run("python3", &["-c", &program], input.as_bytes()) {
            Some(output) => assert_eq!(output.trim(), expected, "{secret} {headers}"),
            None => return,
        }
    }
}

#[tokio::test]
async fn openssl_computes_the_same_signature() {
    let received = signed().await;
    let [timestamp, delivery] =
        ["x-canary-timestamp", "x-canary-delivery"].map(|name| received.header(name));
    let mut signed = format!("{timestamp}.{delivery}.").into_bytes();
    signed.extend(&received.body);
    let arguments = ["dgst", "-sha256", "-hmac", SECRET];
    let Some(output) = run("openssl", &arguments, &signed) else { return };
    let code = output.trim().rsplit(' ').next().unwrap();
    assert_eq!(received.header("x-canary-signature"), format!("sha256={code}"));
}

/// Returns the output of a program, or `None` if it is not installed. CI requires all programs.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<String> {
    let child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        let is_required = env::var_os("CANARY_TESTS_REQUIRE").is_some_and(|value| value == "1");
        assert!(!is_required, "{program} is missing");
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {program} is missing ***");
        return None;
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}
