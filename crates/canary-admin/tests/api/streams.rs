use std::time::Duration;

use canary_admin::{Access, Admin};
use canary_controller::{
    Actor, Controller,
    store::{
        FileStore, MemoryStore,
        testing::{FaultyStore, StoreFault},
    },
};
use tokio::{net::TcpListener, time::timeout};

use crate::support::{Call, Server, Stream, Time, add};

const EVENTS: &str = "/canaries/shop/events";

#[tokio::test]
async fn a_stream_resumes_after_a_restart_without_loss_or_duplicates() {
    let (store, time) = (MemoryStore::new(), Time::default());
    let server = Server::with_store(Access::loopback(), store.clone(), time.clone()).await;
    let mut stream = Stream::open(server.addr, EVENTS, None).await;
    server.command(r#"{"command":"start"}"#).await;
    server.command(r#"{"command":"pause"}"#).await;
    let mut ids = stream.ids(2).await;
    server.stop().await;
    while stream.next().await.is_some() {}

    let server = Server::with_store(Access::loopback(), store, time).await;
    for _ in 0..5 {
        server.rollout.resume(Actor::person("ada"), "").await.unwrap();
        server.rollout.pause(Actor::person("ada"), "").await.unwrap();
    }
    let mut stream = Stream::open(server.addr, EVENTS, ids.last().map(|id| &**id)).await;
    server.rollout.roll_back(Actor::person("ada"), "").await.unwrap();
    loop {
        let item = stream.next_of("event").await;
        ids.extend(item.id);
        if item.data["kind"] == "rolled_back" {
            break;
        }
    }
    let stored = server.rollout.history(256).await.unwrap();
    let stored: Vec<_> = stored.iter().map(|event| event.id().to_string()).collect();
    assert_eq!(ids, stored);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_shows_the_state_and_has_ids_on_events_only() {
    let server = Server::start(Access::loopback()).await;
    server.command(r#"{"command":"start"}"#).await;
    let mut stream = Stream::open(server.addr, EVENTS, None).await;
    let event = stream.next().await.unwrap();
    assert_eq!(event.event, "event");
    assert_eq!(event.id.as_deref(), event.data["id"].as_str());
    let view = stream.next_of("view").await;
    assert_eq!((view.id, &view.data["phase"]), (None, &"running".into()));
    server.rollout.roll_back(Actor::person("ada"), "").await.unwrap();
    while stream.next_of("view").await.data["phase"] != "rolled_back" {}
    server.stop().await;
}

/// A controller at rest ticks every ten seconds. A page would take the silence for a lost connection.
#[tokio::test]
async fn a_stream_of_a_canary_at_rest_shows_its_state_in_each_interval() {
    let server = Server::start(Access::loopback()).await;
    let mut stream = Stream::open(server.addr, EVENTS, None).await;
    let views = async {
        for _ in 0..5 {
            server.time.advance(Duration::from_secs(1));
            let at = server.rollout.now().to_string();
            while stream.next_of("view").await.data["at"] != at {}
        }
    };
    timeout(Duration::from_secs(5), views).await.expect("the stream is silent");
    server.stop().await;
}

/// The page takes six seconds of silence for the end of a connection.
#[tokio::test]
async fn a_stream_is_not_silent_if_ticks_are_rare() {
    let controller = Controller::new(MemoryStore::new()).interval(Duration::from_secs(10));
    let _rollout = add(&controller, "shop", "steps = [{ weight = '1%' }]");
    let admin = Admin::new(Access::loopback());
    admin.watch(&controller);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(admin.clone().serve_on(listener));
    let mut stream = Stream::open(addr, EVENTS, None).await;
    timeout(Duration::from_secs(5), stream.comment()).await.expect("the stream is silent");
    admin.stop();
}

#[tokio::test]
async fn a_stream_after_an_unknown_event_is_reset() {
    let server = Server::start(Access::loopback()).await;
    server.command(r#"{"command":"start"}"#).await;
    let mut stream = Stream::open(server.addr, EVENTS, Some("7-1")).await;
    assert_eq!(stream.next().await.unwrap().event, "reset");
    assert_eq!(stream.next().await.unwrap().data["kind"], "started");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_of_a_rollout_without_events_is_reset_once() {
    let server = Server::start(Access::loopback()).await;
    let mut stream = Stream::open(server.addr, EVENTS, Some("7-1")).await;
    assert_eq!(stream.next().await.unwrap().event, "reset");
    assert_eq!(stream.next().await.unwrap().event, "view");
    server.command(r#"{"command":"start"}"#).await;
    assert_eq!(stream.next_of("event").await.data["kind"], "started");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_is_not_reset_because_the_store_does_not_answer() {
    let store = FaultyStore::new(MemoryStore::new());
    let faults = store.clone();
    let server = Server::with_store(Access::loopback(), store, Time::default()).await;
    server.command(r#"{"command":"start"}"#).await;
    faults.fail_all(StoreFault::Unavailable);
    // Only the store knows whether there was such an event.
    let mut stream = Stream::open(server.addr, EVENTS, Some("7-1")).await;
    for _ in 0..3 {
        assert_eq!(stream.next().await.unwrap().event, "view");
    }
    faults.recover();
    stream.next_of("reset").await;
    assert_eq!(stream.next().await.unwrap().data["kind"], "started");
    server.stop().await;
}

#[tokio::test]
async fn a_page_of_events_tells_that_its_begin_is_no_longer_stored() {
    let server = Server::start(Access::loopback()).await;
    server.command(r#"{"command":"start"}"#).await;
    server.command(r#"{"command":"pause"}"#).await;
    let page = async |query: &str| server.get(&format!("{EVENTS}?{query}")).await;
    let all = page("most=100").await.json();
    let all = all.as_array().unwrap();
    let first = all[0]["id"].as_str().unwrap();
    let rest = page(&format!("after={first}")).await.json();
    assert_eq!(rest.as_array().unwrap(), &all[1..]);
    assert_eq!(page("most=1").await.json()[0], all[all.len() - 1]);
    let reply = page("after=7-1").await;
    let problem = reply.problem();
    assert_eq!((reply.status, &problem["type"]), (410, &"/problems/not-stored".into()));
    assert_eq!((&problem["field"], &problem["value"]), (&"after".into(), &"7-1".into()));
    server.stop().await;
}

#[tokio::test]
async fn a_stream_can_begin_with_the_latest_event_only() {
    let server = Server::start(Access::loopback()).await;
    server.command(r#"{"command":"start"}"#).await;
    server.command(r#"{"command":"pause"}"#).await;
    let mut stream = Stream::open(server.addr, &format!("{EVENTS}?most=1"), None).await;
    assert_eq!(stream.next().await.unwrap().data["kind"], "paused");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let server = Server::start(Access::loopback()).await;
    let mut stream = Stream::open(server.addr, EVENTS, None).await;
    stream.next_of("view").await;
    let Server { admin, served, controller: _controller, .. } = server;
    admin.stop();
    while stream.next().await.is_some() {}
    served.await.unwrap();
}

#[tokio::test]
async fn a_stream_says_that_the_canary_is_gone() {
    let server = Server::start(Access::loopback()).await;
    let mut stream = Stream::open(server.addr, EVENTS, None).await;
    stream.next_of("view").await;
    let Server { addr, controller, admin: _admin, .. } = server;
    controller.stop().await;
    stream.next_of("gone").await;
    assert!(stream.next().await.is_none());
    assert_eq!(Call::new("GET", "/canaries/shop").send(addr).await.status, 404);
}

#[tokio::test]
async fn an_event_has_an_id_only_once_it_is_stored() {
    let store = FaultyStore::new(MemoryStore::new());
    let faults = store.clone();
    let server = Server::with_store(Access::loopback(), store, Time::default()).await;
    server.command(r#"{"command":"start"}"#).await;
    let mut stream = Stream::open(server.addr, EVENTS, None).await;
    stream.next_of("event").await;
    while stream.next_of("event").await.data["kind"] != "step_begun" {}
    faults.fail_all(StoreFault::Unavailable);
    // Sent and not awaited: the response comes when the store recovers, or says that it has not.
    let rollback = Call::new("POST", "/canaries/shop/commands").json(r#"{"command":"roll_back"}"#);
    let addr = server.addr;
    let sent = tokio::spawn(async move { rollback.send(addr).await });
    let unsaved = loop {
        let view = stream.next_of("view").await.data;
        let unsaved = view["storage"]["unsaved"].as_array().unwrap();
        if let Some(event) = unsaved.first() {
            break event.clone();
        }
    };
    assert_eq!(unsaved["kind"], "rolled_back");
    assert!(unsaved["id"].is_null());
    faults.recover();
    let stored = stream.next_of("event").await;
    assert_eq!(stored.data["kind"], "rolled_back");
    assert!(stored.id.is_some());
    sent.await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_failing_store_is_shown_with_its_error_and_path_and_never_looks_idle() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("default.v1.rollouts.shop.json");
    let store = || FileStore::open(directory.path());
    let server =
        Server::with_store(Access::loopback(), store().await.unwrap(), Time::default()).await;
    server.command(r#"{"command":"start"}"#).await;
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, "garbage").unwrap();
    let mut stream = Stream::open(server.addr, EVENTS, None).await;
    let view = loop {
        let view = stream.next_of("view").await.data;
        if !view["storage"]["failures"].as_array().unwrap().is_empty() {
            break view;
        }
    };
    let path = file.display().to_string();
    let failure = &view["storage"]["failures"][0];
    assert_eq!(failure["operation"], "watch");
    assert_eq!(failure["path"], path);
    assert!(failure["since"].as_str().unwrap().starts_with("2026-"), "{failure}");
    for text in [&failure["error"], &failure["sentence"], &view["summary"]] {
        let text = text.as_str().unwrap();
        assert!(text.contains(&path) && text.contains("not a document"), "{text}");
    }
    assert_eq!(view["phase"], "running");
    server.stop().await;

    // A process that has never loaded the rollout knows no phase.
    let store = store().await.unwrap();
    let controller = Controller::new(store);
    let rollout = add(&controller, "shop", "steps = [{ weight = '1%' }]");
    let admin = Admin::new(Access::loopback());
    admin.watch(&controller);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(admin.clone().serve_on(listener));
    let mut status = rollout.watch();
    status.wait_for(|status| status.summary.contains(&path)).await.unwrap();
    let view = Call::new("GET", "/canaries/shop").send(addr).await.json();
    assert_eq!(view["phase"], "unknown");
    assert!(view["status"].as_str().unwrap().starts_with("the stored rollout is not loaded"));
    std::fs::write(&file, good).unwrap();
    status.wait_for(|status| status.load_error.is_none()).await.unwrap();
    let view = Call::new("GET", "/canaries/shop").send(addr).await.json();
    assert_eq!(view["phase"], "running");
    admin.stop();
}
