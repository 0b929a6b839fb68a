use std::{
    io,
    sync::{Arc, Mutex},
};

use canary_admin::{Access, Admin};
use canary_controller::{
    Actor, Controller, Plan, rollout::variables::VariablePatches, store::MemoryStore,
};
use tokio::net::TcpListener;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{COMMANDS, Call, PLAN, Server, add, tokens};

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
async fn the_audit_log_has_names_and_no_secrets() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    // The server runs on this thread as well.
    let _guard = tracing::subscriber::set_default(subscriber);
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

    let text = log.text();
    let has = |parts: &[&str]| {
        text.lines().any(|line| {
            line.contains("canary::audit") && parts.iter().all(|part| line.contains(part))
        })
    };
    assert!(has(&["status=401", COMMANDS]), "{text}");
    assert!(has(&["status=403", "vic", COMMANDS]), "{text}");
    assert!(has(&["ada", "asked to end the 0 open calls of canary", "stuck"]), "{text}");
    assert!(has(&["status=422", "ada"]), "{text}");
    assert!(!text.contains("swordfish") && !text.contains("opensesame"), "{text}");
    assert!(!format!("{admin:?}").contains("swordfish"));
    admin.stop();
    served.await.unwrap().unwrap();
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
