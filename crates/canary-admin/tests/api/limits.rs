use std::time::Duration;

use canary_admin::{Access, Admin, Operator, Role};
use canary_controller::{Controller, Phase, store::MemoryStore};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use crate::support::{COMMANDS, Call, PLAN, Server, Stream, add, tokens};

#[tokio::test]
async fn a_body_has_at_most_64_kib() {
    let server = Server::start(Access::loopback()).await;
    let reason = "x".repeat(64 * 1024);
    let start = format!(r#"{{"command":"start","reason":"{reason}"}}"#);
    let reply = server.command(&start).await;
    assert_eq!((reply.status, &reply.problem()["type"]), (413, &"/problems/too-large".into()));
    assert_eq!(server.rollout.status().rollout.phase(), Phase::Idle);
    server.stop().await;
}

#[tokio::test]
async fn a_body_has_to_be_json_of_the_right_shape() {
    let server = Server::start(Access::loopback()).await;
    let start = r#"{"command":"start"}"#;
    let call = Call::new("POST", COMMANDS).body(start);
    for (call, status) in [
        (call.clone(), 415),
        (call.clone().header("content-type", "text/plain"), 415),
        (call.header("content-type", "application/x-www-form-urlencoded"), 415),
        (Call::new("POST", COMMANDS).json(start).header("content-type", "text/plain"), 415),
        (Call::new("POST", COMMANDS).json("{"), 400),
        (Call::new("POST", COMMANDS).json("{}{}"), 422),
        (Call::new("POST", COMMANDS).json(r#"{"command":"start"} x"#), 400),
        (Call::new("POST", COMMANDS).json(r#"{"command":"start","by":"eve"}"#), 422),
        (Call::new("POST", COMMANDS).json(r#"{"command":"begin"}"#), 422),
        (Call::new("POST", &format!("{COMMANDS}?dry=2")).json(start), 422),
        (Call::new("POST", &format!("{COMMANDS}?dri=1")).json(start), 400),
    ] {
        let reply = server.send(call.clone()).await;
        assert_eq!(reply.status, status, "{call:?}");
        reply.problem();
    }
    assert_eq!(server.rollout.status().rollout.phase(), Phase::Idle);
    let with_mark = Call::new("POST", COMMANDS).json(&format!("\u{feff}{start}"));
    assert_eq!(server.send(with_mark).await.status, 200);
    assert_eq!(server.rollout.status().rollout.phase(), Phase::Running);
    server.stop().await;
}

#[tokio::test]
async fn an_operator_has_at_most_32_streams_and_keeps_no_others_out() {
    let (_directory, access) = tokens();
    let server = Server::start(access).await;
    let open = |token: &str| {
        let call = Call::new("GET", "/canaries/shop/events").token(token);
        Stream::open_as(server.addr, call.header("accept", "text/event-stream"))
    };
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(open("vic").await);
    }
    let more = Call::new("GET", "/canaries/shop/events").header("accept", "text/event-stream");
    let reply = timeout(Duration::from_secs(60), server.send(more.token("vic")));
    let reply = reply.await.expect("it is no stream");
    assert_eq!((reply.status, reply.header("retry-after")), (429, "2"));
    let list = Call::new("GET", "/canaries").token("vic");
    assert_eq!(server.send(list).await.status, 200, "everything else still works");
    open("ada").await.next_of("view").await;
    server.stop().await;
}

#[tokio::test]
async fn a_panic_is_a_problem_of_its_request_only() {
    let access = Access::hook(|parts| match parts.headers.get("x-user") {
        Some(_) => Some(Operator::new("ada", Role::Operate)),
        None => panic!("no user"),
    });
    let server = Server::start(access).await;
    let reply = server.get("/canaries").await;
    assert_eq!((reply.status, &reply.problem()["type"]), (500, &"/problems/internal".into()));
    assert!(!reply.text.contains("no user"));
    let reply = server.send(Call::new("GET", "/canaries").header("x-user", "ada")).await;
    assert_eq!(reply.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_server_without_credentials_is_not_open_to_other_machines() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = Admin::new(Access::loopback()).serve_on(listener).await.unwrap_err();
    assert!(error.to_string().contains("Access::tokens"), "{error}");
}

#[tokio::test]
async fn every_rollout_of_a_controller_is_shown_also_one_that_is_added_later() {
    let server = Server::start(Access::loopback()).await;
    let names = async || -> Vec<String> {
        let list = server.get("/canaries").await.json();
        let name = |view: &serde_json::Value| view["name"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(name).collect()
    };
    assert_eq!(names().await, ["shop"]);
    add(&server.controller, "checkout", PLAN);
    // The task that follows the controller runs before the next response.
    while names().await != ["checkout", "shop"] {}

    let other = Controller::new(MemoryStore::new());
    add(&other, "shop", PLAN);
    add(&other, "search", PLAN);
    server.admin.watch(&other);
    assert_eq!(names().await, ["checkout", "search", "shop"]);
    server.stop().await;
}

#[tokio::test]
async fn silent_connections_do_not_stop_a_rollback() {
    let server = Server::start(Access::loopback()).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(server.addr).await.unwrap());
    }
    let rollback = server.command(r#"{"command":"roll_back"}"#);
    // Well below the time after which silent connections are closed anyway.
    let reply = timeout(Duration::from_secs(6), rollback).await.expect("there is a place");
    assert_eq!(reply.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_request_in_flight_keeps_its_connection_when_others_take_all_places() {
    let server = Server::start(Access::loopback()).await;
    let mut stream = Stream::open(server.addr, "/canaries/shop/events", None).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(server.addr).await.unwrap());
    }
    // Accepted after all of them.
    assert_eq!(server.command(r#"{"command":"start"}"#).await.status, 200);
    assert_eq!(stream.next_of("event").await.data["kind"], "started");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed() {
    let server = Server::start(Access::loopback()).await;
    for request in [
        "",
        "GET /canaries HTTP/1.1\r\nhost: localhost\r\n",
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        let mut client = TcpStream::connect(server.addr).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let began = Instant::now();
        let mut response = String::new();
        let read = client.read_to_string(&mut response);
        timeout(Duration::from_secs(60), read).await.expect("it is closed").unwrap();
        assert_eq!(response.ends_with("\r\n\r\nok\n"), request.contains("/healthz"), "{response}");
        assert!(began.elapsed() > Duration::from_secs(5), "{request:?} has some time");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_server_has_no_connections() {
    let server = Server::start(Access::loopback()).await;
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    let mut slow = TcpStream::connect(server.addr).await.unwrap();
    let head = "POST /canaries/shop/commands HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    // Accepted after both of them.
    assert_eq!(server.get("/healthz").await.status, 200);
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(8), "requests have five seconds to end");
    for client in [&mut silent, &mut slow] {
        let mut response = Vec::new();
        let _ = timeout(Duration::from_secs(60), client.read_to_end(&mut response)).await.unwrap();
        assert!(response.is_empty());
    }
}
