//! The client against a real HTTP server that responds as each test wants.
#![cfg(feature = "client")]
#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{get, patch, post},
};
use canary_api::{
    Command, CommandRequest, EventId, StreamItem, VariablesRequest,
    client::{Client, ClientError, EventStream},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Serves at a free port, and returns a client for it.
async fn serve(router: Router) -> Client {
    client(start(router).await)
}

async fn start(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    addr
}

fn client(addr: SocketAddr) -> Client {
    Client::builder(format!("http://{addr}/canary")).token("s3cret").build().unwrap()
}

fn problem(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, content_type, body.to_string()).into_response()
}

fn event_stream(text: impl Into<String>) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], text.into()).into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// An event as it is on the stream.
fn event(number: u64) -> String {
    let data = json!({
        "id": format!("{number}-1000"), "at": "2026-11-24T09:00:00Z",
        "by": {"kind": "person", "name": "ada"}, "kind": "paused",
        "sentence": format!("sentence {number}"), "reason": "", "verdict": "inconclusive",
        "evidence": "", "phase": "paused", "weight": "10%", "of_a_newer_server": 1,
    });
    format!("id: {number}-1000\nevent: event\ndata: {data}\n\n")
}

/// Returns the next item in one word or two.
async fn next(stream: &mut EventStream) -> String {
    match stream.next().await {
        Some(Ok(StreamItem::Event(event))) => event.sentence,
        Some(Ok(item)) => format!("{item:?}"),
        Some(Err(error)) if error.is_transient() => format!("transient: {error}"),
        Some(Err(error)) => format!("final: {error}"),
        None => "end".to_owned(),
    }
}

#[tokio::test]
async fn a_request_has_the_token_and_its_parameters() {
    let points = |headers: HeaderMap, Query(query): Query<Value>| async move {
        assert_eq!(header(&headers, "authorization"), Some("Bearer s3cret"));
        assert_eq!(header(&headers, "accept"), Some("application/json"));
        assert_eq!(query, json!({"since": "17", "step": "10"}));
        Json(json!({
            "step_s": 10, "at_ms": [1000], "weight_ppm": [5], "findings": {},
            "calls_per_second": {"stable": [1.5], "canary": [0.5]},
            "failure_rate": {"stable": [null], "canary": [0.25]},
            "p50_ms": {"stable": [null], "canary": [null]},
            "p99_ms": {"stable": [null], "canary": [null]},
        }))
    };
    let client = serve(Router::new().route("/canary/canaries/shop/points", get(points))).await;
    let points = client.points("shop", Some(17), Some(10)).await.unwrap();
    assert_eq!(points.failure_rate.canary, [Some(0.25)]);
}

#[tokio::test]
async fn a_change_names_the_latest_event_that_the_caller_has_seen() {
    let change = |headers: HeaderMap, Json(body): Json<Value>| async move {
        assert_eq!(header(&headers, "if-match"), Some("\"17-1000\""));
        assert_eq!(header(&headers, "content-type"), Some("application/json"));
        Json(json!({"stage": {}, "overrides": body["overrides"]}))
    };
    let client = serve(Router::new().route("/canary/canaries/shop/variables", patch(change))).await;
    let overrides = [("backend".to_owned(), json!("b2"))].into();
    let request = VariablesRequest { overrides, ..VariablesRequest::default() };
    let seen = EventId::new("17-1000");
    let variables = client.change_variables("shop", &request, Some(&seen)).await.unwrap();
    assert_eq!(variables.overrides["backend"], "b2");

    let invalid = EventId::new("17\n1000");
    let error = client.change_variables("shop", &request, Some(&invalid)).await.unwrap_err();
    assert!(matches!(error, ClientError::Settings(_)), "{error:?}");
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong() {
    let refuse = |Query(query): Query<Value>, Json(body): Json<Value>| async move {
        assert_eq!(query, json!({"dry": "1"}));
        assert_eq!(body, json!({"command": "approve", "gate": "x", "reason": ""}));
        problem(
            422,
            &json!({
                "type": "/problems/invalid", "title": "invalid", "status": 422,
                "detail": "no gate waits", "field": "gate", "expected": "a gate that waits",
                "allowed": ["pause", "dance"],
            }),
        )
    };
    let client = serve(Router::new().route("/canary/canaries/shop/commands", post(refuse))).await;
    let approve = CommandRequest::new(Command::Approve { gate: "x".to_owned() }, "");
    let error = client.preview("shop", &approve).await.unwrap_err();
    assert_eq!(error.to_string(), "no gate waits: expected a gate that waits");
    assert!(!error.is_transient() && !error.is_outcome_unknown());
    let problem = error.problem().unwrap();
    assert_eq!((problem.status, problem.allowed.len()), (422, 2));
}

#[tokio::test]
async fn a_refused_connection_names_the_url_and_the_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let error = client(addr).session().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot connect to http://{addr}/canary/: connection refused; \
             start the service, or correct the address and the port"
        ),
    );
    assert!(error.is_transient() && !error.is_outcome_unknown());
}

#[tokio::test]
async fn a_response_of_another_server_is_recognized() {
    let router = Router::new()
        .route("/canary/session", get(|| async { "hello" }))
        .route("/canary/canaries", get(|| async { Redirect::permanent("/login") }))
        .route("/canary/canaries/a", get(|| async { Json(json!({"name": "a"})) }))
        .route("/canary/canaries/b", get(|| async { StatusCode::BAD_GATEWAY }));
    let client = serve(router).await;
    let url = client.url().to_owned();
    let session = client.session().await.unwrap_err();
    assert_eq!(
        session.to_string(),
        format!(
            "unexpected response from {url}session: expected application/json, found \
             text/plain; charset=utf-8 with status 200 OK; is this the URL of a canary API?"
        ),
    );
    let redirect = client.canaries().await.unwrap_err().to_string();
    assert!(redirect.contains("it redirects to \"/login\""), "{redirect}");
    let other = client.canary("a").await.unwrap_err().to_string();
    assert!(other.contains("expected other JSON: missing field"), "{other}");
    let gateway = client.canary("b").await.unwrap_err();
    assert!(gateway.is_transient() && gateway.is_outcome_unknown(), "{gateway}");
    let absent = client.canary("c").await.unwrap_err().to_string();
    assert!(absent.contains("no content with status 404 Not Found"), "{absent}");
}

#[tokio::test]
async fn a_server_that_does_not_respond_is_given_up() {
    let addr = start(Router::new().route("/session", get(std::future::pending::<()>))).await;
    let client = Client::builder(format!("http://{addr}")).timeout(Duration::from_millis(50));
    let error = client.build().unwrap().session().await.unwrap_err();
    assert_eq!(error.to_string(), format!("no response from http://{addr}/session within 0.05s"));
    assert!(error.is_transient() && error.is_outcome_unknown());
}

#[tokio::test]
async fn a_lost_response_leaves_the_outcome_open() {
    let cut = || async {
        let part = stream::iter([Ok("{\"note\":"), Err(io::Error::other("cut"))]);
        ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(part))
    };
    let client = serve(Router::new().route("/canary/canaries/shop/commands", post(cut))).await;
    let pause = CommandRequest::new(Command::Pause, "");
    let error = client.command("shop", &pause, None).await.unwrap_err();
    assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
    assert!(error.is_outcome_unknown());
}

/// The stream of a server that restarts: it sends two events and cuts, is away, has lost events, and
/// stops managing the canary.
#[tokio::test]
async fn a_stream_resumes_after_its_last_event() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let events = |State(attempts): State<Arc<AtomicUsize>>, headers: HeaderMap| async move {
        let last = header(&headers, "last-event-id").map(str::to_owned);
        assert_eq!(header(&headers, "accept"), Some("text/event-stream"));
        match attempts.fetch_add(1, Ordering::SeqCst) {
            0 => {
                assert_eq!(last.as_deref(), Some("4-1000"));
                let unknown = "event: dance\ndata: {}\n\n";
                event_stream(format!(": hello\n\n{}{unknown}{}", event(5), event(6)))
            }
            1 => problem(503, &json!({"detail": "stopping"})),
            2 => {
                assert_eq!(last.as_deref(), Some("6-1000"));
                let gone = "event: gone\ndata: {}\n\n";
                event_stream(format!("event: reset\ndata: {{}}\n\n{}{gone}", event(9)))
            }
            _ => panic!("the stream has ended"),
        }
    };
    let router = Router::new().route("/canary/canaries/shop/events", get(events));
    let client = serve(router.with_state(attempts)).await;
    let mut stream = client.stream("shop", Some(EventId::new("4-1000")));
    assert_eq!(next(&mut stream).await, "sentence 5");
    assert_eq!(next(&mut stream).await, "sentence 6");
    let closed = next(&mut stream).await;
    assert!(closed.starts_with("transient: the connection to http://"), "{closed}");
    assert!(closed.ends_with("was lost: the server has closed it"), "{closed}");
    assert_eq!(next(&mut stream).await, "transient: stopping");
    assert_eq!(next(&mut stream).await, "Reset");
    assert_eq!(next(&mut stream).await, "sentence 9");
    assert_eq!(next(&mut stream).await, "Gone");
    assert_eq!(next(&mut stream).await, "end");
}

/// The time limit of requests is the shorter one, and does not apply.
#[tokio::test]
async fn a_silent_stream_is_opened_again() {
    let silent = || async {
        let part = stream::iter([Ok::<_, io::Error>(": hello\n\n")]);
        let body = Body::from_stream(part.chain(stream::pending()));
        ([(header::CONTENT_TYPE, "text/event-stream")], body)
    };
    let addr = start(Router::new().route("/canaries/shop/events", get(silent))).await;
    let client = Client::builder(format!("http://{addr}"))
        .timeout(Duration::from_millis(50))
        .silence_limit(Duration::from_millis(80));
    let mut stream = client.build().unwrap().stream("shop", None);
    for _ in 0..2 {
        // On a busy machine, connections can take longer than the time limit.
        let error = loop {
            let error = next(&mut stream).await;
            if !error.contains("no response") {
                break error;
            }
        };
        assert!(error.ends_with("was lost: silent for 0.08s"), "{error}");
    }
}

#[tokio::test]
async fn a_stream_that_cannot_succeed_ends() {
    let router = Router::new()
        .route(
            "/canary/canaries/secret/events",
            get(|| async { problem(401, &json!({"detail": "no such token"})) }),
        )
        .route(
            "/canary/canaries/new/events",
            get(|| async { event_stream("event: view\ndata: {}\n\n") }),
        )
        .route(
            "/canary/canaries/large/events",
            get(|| async { event_stream(format!("data: {}\n\n", "x".repeat(1 << 20))) }),
        );
    let client = serve(router).await;
    for (canary, expected) in [
        ("secret", "final: no such token"),
        ("new", "expected other JSON in \"view\": missing field `name`"),
        ("large", "expected events of at most 1048576 bytes"),
    ] {
        let mut stream = client.stream(canary, None);
        let error = next(&mut stream).await;
        assert!(error.starts_with("final: ") && error.contains(expected), "{error}");
        assert_eq!(next(&mut stream).await, "end");
    }
}
