use std::time::Duration;

use canary_admin::Access;
use canary_controller::{Actor, Phase};

use crate::support::{COMMANDS, Call, Server, tokens};

#[tokio::test]
async fn a_command_is_recorded_with_the_name_of_the_token() {
    let (_directory, access) = tokens();
    let server = Server::start(access).await;
    let call = Call::new("POST", COMMANDS).json(r#"{"command":"start","reason":"v2 is built"}"#);
    let reply = server.send(call.token("ada")).await.json();
    assert_eq!(reply["events"][0]["sentence"], "ada started (attempt 1)");
    assert_eq!(reply["events"][0]["reason"], "v2 is built");
    assert_eq!(reply["canary"]["phase"], "running");
    assert_eq!(reply["canary"]["weight"], "1%");
    assert_eq!(server.rollout.status().rollout.phase(), Phase::Running);
    server.stop().await;
}

#[tokio::test]
async fn a_preview_shows_the_effect_and_changes_nothing() {
    let server = Server::start(Access::loopback()).await;
    server.command(r#"{"command":"start"}"#).await;
    let before = server.etag().await;
    let call = Call::new("POST", &format!("{COMMANDS}?dry=1")).json(r#"{"command":"roll_back"}"#);
    let preview = server.send(call).await.json();
    assert_eq!(
        preview["effect"],
        "The next call is served by v1. Only a new start raises the weight again."
    );
    assert_eq!((&preview["from"], &preview["to"]), (&"1%".into(), &"0%".into()));
    assert_eq!(server.etag().await, before);
    server.stop().await;
}

#[tokio::test]
async fn a_command_that_gives_the_canary_more_calls_has_to_name_the_latest_event() {
    let server = Server::start(Access::loopback()).await;
    assert_eq!(server.command(r#"{"command":"start"}"#).await.status, 200, "there is no event yet");
    let latest = server.etag().await;
    for command in [
        r#"{"command":"skip_step"}"#,
        r#"{"command":"promote"}"#,
        r#"{"command":"promote_fully"}"#,
        r#"{"command":"restart"}"#,
        r#"{"command":"set_weight","weight":"50%"}"#,
        r#"{"command":"approve","gate":"owner"}"#,
        r#"{"command":"set_variables","stage":{"limit":10}}"#,
    ] {
        let problem = server.command(command).await.problem();
        assert_eq!(problem["type"], "/problems/latest-needed", "{command}");
        assert_eq!(format!("\"{}\"", problem["latest"].as_str().unwrap()), latest);
    }
    let lower = r#"{"command":"set_weight","weight":"0.5%"}"#;
    assert_eq!(server.command(lower).await.status, 200, "it lowers the weight");
    let latest = server.etag().await;
    let raise = Call::new("POST", COMMANDS).json(r#"{"command":"set_weight","weight":"50%"}"#);
    let reply = server.send(raise.seen(&latest)).await.json();
    assert_eq!(reply["canary"]["weight"], "50%");
    server.stop().await;
}

#[tokio::test]
async fn a_conflict_shows_what_the_other_operator_did() {
    let (_directory, access) = tokens();
    let server = Server::start(access).await;
    let latest = |reply: &crate::support::Reply| reply.header("etag").to_owned();
    let call = |command: &str| Call::new("POST", COMMANDS).json(command).token("ada");
    server.send(call(r#"{"command":"start"}"#)).await;
    let seen = latest(&server.send(Call::new("GET", "/canaries/shop").token("ada")).await);
    server.rollout.pause(Actor::person("bob"), "the totals look wrong").await.unwrap();

    let weak = call(r#"{"command":"skip_step"}"#).seen(&format!("W/{seen}"));
    assert_eq!(server.send(weak).await.status, 412, "a proxy can mark a tag as weak");
    let skip = call(r#"{"command":"skip_step","reason":"all is well"}"#);
    let problem = server.send(skip.seen(&seen)).await.problem();
    assert_eq!(problem["type"], "/problems/changed");
    assert_eq!(problem["events"][0]["sentence"], "bob paused");
    assert_eq!(problem["events"][0]["reason"], "the totals look wrong");
    assert_eq!(server.rollout.status().rollout.phase(), Phase::Paused);

    let roll_back = call(r#"{"command":"roll_back"}"#).seen(&seen);
    assert_eq!(server.send(roll_back).await.status, 200, "a rollback always goes through");
    for command in [r#"{"command":"halt"}"#, r#"{"command":"roll_back"}"#] {
        let reply = server.send(call(command).seen("\"yesterday\"")).await;
        assert_eq!(reply.status, 200, "an event that cannot exist does not stop {command}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_lost_a_response_finds_its_own_event() {
    let server = Server::start(Access::loopback()).await;
    server.command(r#"{"command":"start"}"#).await;
    let seen = server.etag().await;
    let skip = Call::new("POST", COMMANDS).json(r#"{"command":"skip_step","reason":"go"}"#);
    server.send(skip.clone().seen(&seen)).await;
    let problem = server.send(skip.seen(&seen)).await.problem();
    assert_eq!(problem["events"][0]["by"]["name"], "localhost");
    assert_eq!(problem["events"][0]["kind"], "step_begun");
    assert_eq!(problem["events"][0]["reason"], "skipped: go");
    assert_eq!(problem["already_done"], true);
    // It is not what another command does.
    let promote = Call::new("POST", COMMANDS).json(r#"{"command":"promote"}"#);
    let problem = server.send(promote.seen(&seen)).await.problem();
    assert_eq!((&problem["status"], problem.get("already_done")), (&412.into(), None));
    server.stop().await;
}

#[tokio::test]
async fn a_page_that_is_open_for_ten_minutes_is_not_refused() {
    let server = Server::start(Access::loopback()).await;
    server.command(r#"{"command":"start"}"#).await;
    let seen = server.etag().await;
    let mut statuses = server.rollout.watch();
    let saved = server.rollout.status().rollout.generation();
    for _ in 0..60 {
        server.time.advance(Duration::from_secs(10));
        let at = statuses.borrow_and_update().at;
        statuses.wait_for(|status| status.at > at).await.unwrap();
    }
    assert!(server.rollout.status().rollout.generation() > saved + 10, "progress was saved");
    let skip = Call::new("POST", COMMANDS).json(r#"{"command":"skip_step"}"#);
    assert_eq!(server.send(skip.seen(&seen)).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_command_that_the_state_does_not_allow_names_those_that_it_does() {
    let server = Server::start(Access::loopback()).await;
    let problem = server.command(r#"{"command":"resume"}"#).await.problem();
    assert_eq!(problem["type"], "/problems/refused");
    let allowed = problem["allowed"].as_array().unwrap();
    assert!(allowed.contains(&"start".into()), "{problem}");
    server.stop().await;
}

#[tokio::test]
async fn bad_input_names_the_value_and_the_expectation() {
    let server = Server::start(Access::loopback()).await;
    let problem = server.command(r#"{"command":"set_weight","weight":"half"}"#).await.problem();
    assert_eq!(problem["field"], "weight");
    assert_eq!(problem["value"], "half");
    assert_eq!(problem["expected"], "0% to below 100%, such as 0.1%");
    let pause = Call::new("POST", COMMANDS).json(r#"{"command":"pause"}"#);
    let problem = server.send(pause.seen("\"yesterday\"")).await.problem();
    assert_eq!(
        (&problem["field"], &problem["value"]),
        (&"if-match".into(), &"\"yesterday\"".into())
    );
    for (path, field) in [
        ("/canaries/shop/points?step=5", "step"),
        ("/canaries/shop/events?most=0", "most"),
        ("/canaries/shop/events?after=17", "after"),
        ("/canaries/checkout", "canary"),
    ] {
        let problem = server.get(path).await.problem();
        assert_eq!(problem["field"], field, "{path}");
        assert!(problem["expected"].as_str().is_some_and(|it| !it.is_empty()), "{problem}");
    }
    assert_eq!(server.rollout.status().rollout.phase(), Phase::Idle);
    server.stop().await;
}

#[tokio::test]
async fn a_plan_is_checked_and_replaced_without_what_only_code_may_contain() {
    let server = Server::start(Access::loopback()).await;
    let check = |text: &str| {
        let body = serde_json::json!({ "text": text, "calls_per_second": 100.0 }).to_string();
        Call::new("POST", "/plans/check").json(&body)
    };
    let faults = server.send(check("steps = [{ weight = '200%' }]")).await.json();
    assert_eq!(faults["faults"][0]["line"], 1);
    assert_eq!(faults["faults"][0]["field"], "steps[0].weight");
    let hook = "steps = [{ weight = '1%', gates = ['ci'] }]\n\
        [gates.ci]\nkind = { webhook = { url = 'http://169.254.169.254/' } }";
    let faults = server.send(check(hook)).await.json();
    assert_eq!(faults["faults"][0]["field"], "gates.ci.kind.webhook");
    let probe = "steps = [{ weight = '1%' }]\n\
        [probes.order]\nkind = { http = { path = '/order', method = 'POST' } }";
    let faults = server.send(check(probe)).await.json();
    assert_eq!(faults["faults"][0]["field"], "probes.order.kind.http.method");
    let receiver = "steps = [{ weight = '1%' }]\n\
        [notify.eve]\nwebhook = { url = 'https://evil.example/' }";
    let faults = server.send(check(receiver)).await.json();
    assert_eq!(faults["faults"][0]["field"], "notify.eve");
    let forecast = server.send(check("steps = [{ weight = '20%' }]")).await.json();
    assert_eq!(forecast["forecast"]["steps"][0]["weight"], "20%");

    let put = |text: &str| {
        let body = serde_json::json!({ "text": text, "reason": "slower" }).to_string();
        Call::new("PUT", "/canaries/shop/plan").json(&body)
    };
    let problem = server.send(put(hook)).await.problem();
    assert_eq!(problem["faults"][0]["field"], "gates.ci.kind.webhook");
    let plan = server.send(put("steps = [{ weight = '20%' }]")).await.json();
    assert_eq!(plan["plan"]["steps"][0]["weight"], "20%");
    let problem = server.send(put("steps = [{ weight = '30%' }]")).await.problem();
    assert_eq!((&problem["status"], &problem["field"]), (&428.into(), &"if-match".into()));
    assert_eq!(server.rollout.status().rollout.plan().steps().len(), 1);

    let seen = server.etag().await;
    server.rollout.start(Actor::person("bob"), "").await.unwrap();
    server.rollout.roll_back(Actor::person("bob"), "too slow").await.unwrap();
    let problem = server.send(put("steps = [{ weight = '30%' }]").seen(&seen)).await.problem();
    assert_eq!(problem["type"], "/problems/changed");
    let since = problem["events"].as_array().unwrap();
    assert!(since.iter().any(|event| event["reason"] == "too slow"), "{problem}");
    assert_eq!(server.rollout.status().rollout.plan().steps()[0].weight.to_string(), "20%");
    server.stop().await;
}
