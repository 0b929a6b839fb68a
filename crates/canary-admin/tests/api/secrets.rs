use std::time::Duration;

use canary_admin::{Access, Admin};
use canary_controller::{
    Actor, Controller, Plan,
    rollout::variables::VariablePatches,
    store::{
        MemoryStore,
        testing::{FaultyStore, StoreFault},
    },
    webhook::{SendFuture, WebhookClient},
};
use tokio::net::TcpListener;

use crate::support::{COMMANDS, Call, Log, PLAN, Server, Time, add, tokens};

#[tokio::test]
async fn only_operators_see_the_values_of_variables() {
    let (_directory, access) = tokens();
    let server = Server::start(access).await;
    let mut patches = VariablePatches::default();
    patches.stage = patches.stage.set("password", "swordfish");
    server.rollout.set_variables(Actor::person("ada"), patches, "").await.unwrap();
    for token in ["vic", "gus"] {
        let get = |path: &str| Call::new("GET", path).token(token);
        assert_eq!(server.send(get("/canaries/shop/variables")).await.status, 403);
        for path in ["/canaries", "/canaries/shop", "/canaries/shop/events", "/canaries/shop/plan"]
        {
            let reply = server.send(get(path)).await;
            assert_eq!(reply.status, 200);
            assert!(!reply.text.contains("swordfish"), "{path}");
        }
        // The preview of a guess says whether it is the value.
        let guess = r#"{"command":"set_variables","stage":{"password":"swordfish"}}"#;
        let preview = Call::new("POST", "/canaries/shop/commands?dry=1").token(token).json(guess);
        assert_eq!(server.send(preview).await.status, 403);
    }
    let get = Call::new("GET", "/canaries/shop/variables").token("ada");
    assert_eq!(server.send(get).await.json()["stage"]["password"], "swordfish");
    server.stop().await;
}

#[tokio::test]
async fn operators_change_variables_and_null_removes_one() {
    let server = Server::start(Access::loopback()).await;
    let patch = |json: &str| Call::new("PATCH", "/canaries/shop/variables").json(json);
    let set = r#"{"stage":{"a":1,"b":{"c":2}},"overrides":{"a":3}}"#;
    let variables = server.send(patch(set)).await.json();
    let expected = serde_json::json!({"stage": {"a": 1, "b": {"c": 2}}, "overrides": {"a": 3}});
    assert_eq!(variables, expected);
    let remove = patch(r#"{"stage":{"a":null},"reason":"old"}"#);
    let problem = server.send(remove.clone()).await.problem();
    assert_eq!((&problem["status"], &problem["field"]), (&428.into(), &"if-match".into()));
    let latest = server.etag().await;
    let variables = server.send(remove.clone().seen(&latest)).await.json();
    assert_eq!(server.send(remove.seen(&latest)).await.status, 412);
    assert_eq!(variables["stage"], serde_json::json!({"b": {"c": 2}}));
    let event = server.rollout.history(1).await.unwrap().pop().unwrap();
    assert_eq!((event.by.to_string(), &*event.reason), ("localhost".to_owned(), "old"));
    server.stop().await;
}

#[tokio::test]
async fn a_plan_is_shown_without_the_paths_of_its_urls() {
    let plan = Plan::from_toml(
        "steps = [{ weight = '1%' }]\n[notify.team]\n\
         webhook = { url = 'https://hooks.example/T0/swordfish', secret_env = 'CANARY_SECRET' }",
    );
    // A controller without a webhook client refuses such a plan, so it is only shown here.
    let json = plan.unwrap().to_public_json().to_string();
    assert!(!json.contains("swordfish"), "{json}");
}

#[tokio::test]
async fn a_plan_from_the_api_keeps_the_receivers_of_notifications() {
    let unreachable = |_: http::Request<_>, _: usize| -> SendFuture<'static> {
        Box::pin(async { Err("there is no network".into()) })
    };
    let controller = Controller::new(MemoryStore::new()).webhooks(WebhookClient::new(unreachable));
    let plan = "steps = [{ weight = '1%' }]\n[notify.team]\n\
        webhook = { url = 'https://hooks.example/T0/swordfish' }";
    let rollout = add(&controller, "shop", plan);
    let admin = Admin::new(Access::loopback());
    admin.watch(&controller);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let served = tokio::spawn(admin.clone().serve_on(listener));
    let mut statuses = rollout.watch();
    statuses.wait_for(|status| status.load_error.is_none()).await.unwrap();
    let put = Call::new("PUT", "/canaries/shop/plan").seen("*");
    let reply = put.json(r#"{"text":"steps = [{ weight = '20%' }]"}"#).send(addr).await;
    assert_eq!(reply.json()["plan"]["steps"][0]["weight"], "20%");
    assert!(reply.text.contains("hooks.example") && !reply.text.contains("swordfish"), "{reply:?}");
    let receivers = rollout.status().rollout.plan().notify().len();
    assert_eq!(receivers, 1);
    admin.stop();
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_audit_log_has_names_and_no_secrets() {
    let (log, _guard) = Log::start();
    let (_directory, access) = tokens();
    let controller = Controller::new(MemoryStore::new());
    add(&controller, "shop", PLAN);
    let admin = Admin::new(access);
    admin.watch(&controller);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let served = tokio::spawn(admin.clone().serve_on(listener));
    let post = |path: &str, json: &str| Call::new("POST", path).json(json);
    post(COMMANDS, r#"{"command":"halt"}"#).token("opensesame").send(addr).await;
    post(COMMANDS, r#"{"command":"halt"}"#).token("vic").send(addr).await;
    let drain = post("/canaries/shop/drain", r#"{"channel":"canary","reason":"stuck"}"#);
    drain.token("ada").send(addr).await;
    let variables = r#"{"stage":{"password":["swordfish"]}"#;
    let patch = Call::new("PATCH", "/canaries/shop/variables").json(variables);
    patch.token("ada").send(addr).await;
    let typo = r#"{"stage":"swordfish"}"#;
    let patch = Call::new("PATCH", "/canaries/shop/variables").json(typo);
    assert_eq!(patch.token("ada").send(addr).await.status, 422);
    let read = Call::new("GET", "/canaries/shop/variables").token("ada");
    assert_eq!(read.send(addr).await.status, 200);
    let reads = |log: &Log| log.text().matches("read the variables").count();
    assert_eq!(reads(&log), 2, "the line has it twice");
    for token in ["ada", "vic"] {
        let stage = Call::new("GET", "/restapis/shop/stages/prod").token(token);
        assert_eq!(stage.send(addr).await.status, 200);
    }
    assert_eq!(reads(&log), 4, "a viewer does not see the values");
    let nothing = Call::new("PATCH", "/canaries/shop/variables").json("{}").token("ada");
    assert_eq!(nothing.send(addr).await.status, 200);
    assert_eq!(reads(&log), 6, "the response has the values");
    for _ in 0..2 {
        let halt = post(COMMANDS, r#"{"command":"halt"}"#).token("ada");
        assert_eq!(halt.send(addr).await.status, 200);
    }

    let text = log.text();
    let has = |parts: &[&str]| log.has(parts);
    assert!(has(&["status=401", COMMANDS]), "{text}");
    assert!(has(&["status=403", "vic", COMMANDS]), "{text}");
    assert!(has(&["ada", "asked to end 0 open calls of canary", "stuck"]), "{text}");
    assert!(has(&["status=422", "ada"]), "{text}");
    assert!(has(&["ada", "read the variables"]), "{text}");
    assert!(has(&["ada", "given the command halt, which changed nothing"]), "{text}");
    assert!(!text.contains("swordfish") && !text.contains("opensesame"), "{text}");
    assert!(!format!("{admin:?}").contains("swordfish"));
    admin.stop();
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn every_failed_change_of_an_operator_is_in_the_audit_log() {
    let (log, _guard) = Log::start();
    let (_directory, access) = tokens();
    let store = FaultyStore::new(MemoryStore::new());
    let faults = store.clone();
    let server = Server::with_store(access, store, Time::default()).await;
    let ada = |call: Call| server.send(call.token("ada"));
    let post = |path: &str| Call::new("POST", path);
    let start = r#"{"command":"start"}"#;
    ada(post(COMMANDS).json("{")).await;
    ada(post("/canaries/cart/commands").json(start)).await;
    ada(Call::new("DELETE", "/canaries/shop/plan")).await;
    ada(post(COMMANDS).json(r#"{"command":"resume"}"#)).await;
    ada(post(COMMANDS).json(&"x".repeat(65 * 1024))).await;
    ada(post(COMMANDS).body(start)).await;
    ada(post(COMMANDS).json(start)).await;
    ada(post(COMMANDS).json(r#"{"command":"skip_step"}"#)).await;
    ada(post(COMMANDS).json(r#"{"command":"skip_step"}"#).seen("1-1")).await;
    faults.fail_all(StoreFault::Unavailable);
    let skip = post(COMMANDS).json(r#"{"command":"skip_step"}"#).seen("*");
    assert_eq!(ada(skip).await.status, 503);
    for status in [400, 404, 405, 409, 413, 415, 428, 412, 503] {
        let text = log.text();
        assert!(log.has(&["who=\"ada\"", &format!("status={status}")]), "{status}: {text}");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn callers_without_a_name_cannot_fill_the_audit_log() {
    let (log, _guard) = Log::start();
    let (_directory, access) = tokens();
    let server = Server::start(access).await;
    for _ in 0..200 {
        assert_eq!(server.get("/canaries").await.status, 401);
    }
    let halt = Call::new("POST", COMMANDS).json(r#"{"command":"halt"}"#);
    assert_eq!(server.send(halt.token("vic")).await.status, 403);
    let lines = |status: &str| log.text().lines().filter(|line| line.contains(status)).count();
    assert!((10..100).contains(&lines("status=401")), "{}", lines("status=401"));
    assert_eq!(lines("status=403"), 1, "a line of an operator is never left out");
    tokio::time::advance(Duration::from_secs(2)).await;
    server.get("/canaries").await;
    let text = log.text();
    let last = text.lines().rfind(|line| line.contains("status=401")).unwrap();
    assert!(last.contains("left_out=") && !last.contains("left_out=0"), "{last}");
    server.stop().await;
}
