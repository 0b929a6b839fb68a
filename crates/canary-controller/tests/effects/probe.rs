use std::convert::Infallible;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, Response, StatusCode, Uri},
    response::Redirect,
    routing::{any, get},
};
use bytes::Bytes;
use canary_controller::{
    probe::{ProbeRunner, ProbeTarget},
    webhook::HttpTransport,
};
use canary_rollout::{Plan, plan::Probe, tick::ProbeOutcome};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::Instant};

use crate::support::{CERTIFICATE, TestServer, hang, soon};

pub(crate) fn http(fields: Value) -> Probe {
    probe(json!({ "http": fields }))
}

pub(crate) fn probe(run: Value) -> Probe {
    serde_json::from_value(json!({ "kind": run, "timeout": "5s" })).unwrap()
}

pub(crate) fn failed(reason: &str) -> ProbeOutcome {
    ProbeOutcome::Failed(reason.to_owned())
}

fn canary() -> Router {
    Router::new()
        .route("/health", get(async || "fine"))
        .route("/sick", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .route(
            "/created",
            any(async |method: Method| match method {
                Method::POST => StatusCode::CREATED,
                _ => StatusCode::BAD_REQUEST,
            }),
        )
        .route(
            "/query",
            get(async |uri: Uri| match uri.query() {
                Some("deep=1") => StatusCode::OK,
                _ => StatusCode::BAD_REQUEST,
            }),
        )
        .route(
            "/marked",
            get(async |headers: HeaderMap| {
                let is = |name: &str, value: &str| headers.get(name).is_some_and(|it| it == value);
                let is_marked = is("x-canary-probe", "1") && headers.contains_key("host");
                if is_marked { StatusCode::OK } else { StatusCode::BAD_REQUEST }
            }),
        )
        .route("/panic", get(async || -> StatusCode { panic!("no table `totals`") }))
        .route("/hang", get(async || hang::<StatusCode>().await))
        .route("/elsewhere", get(async || Redirect::temporary("/health")))
        .route(
            "/broken",
            get(async || {
                let parts = [Ok(Bytes::from_static(b"half")), Err("disk full")];
                Body::from_stream(stream::iter(parts))
            }),
        )
        .route(
            "/panics-late",
            get(async || {
                let parts = stream::iter(0..2).map(|part| match part {
                    0 => Ok::<_, Infallible>(Bytes::from_static(b"half")),
                    _ => panic!("in its body"),
                });
                Body::from_stream(parts)
            }),
        )
        .route(
            "/endless",
            get(async || {
                Body::from_stream(stream::repeat_with(|| {
                    Ok::<_, Infallible>(Bytes::from(vec![0; 9_999]))
                }))
            }),
        )
        .route(
            "/silent",
            get(async || Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())),
        )
}

fn in_process() -> ProbeRunner {
    ProbeRunner::new().target(ProbeTarget::router(canary()))
}

#[tokio::test(start_paused = true)]
async fn a_router_is_probed_in_process() {
    for (fields, outcome) in [
        (json!({ "path": "/health" }), ProbeOutcome::Passed),
        (json!({ "path": "/query?deep=1" }), ProbeOutcome::Passed),
        (json!({ "path": "/marked" }), ProbeOutcome::Passed),
        (json!({ "path": "/created", "method": "POST", "status": [201] }), ProbeOutcome::Passed),
        (json!({ "path": "/endless" }), ProbeOutcome::Passed),
        (json!({ "path": "/sick" }), failed("GET /sick answered 503, expected 200")),
        (
            json!({ "path": "/sick", "status": [200, 204, 304] }),
            failed("GET /sick answered 503, expected 200, 204 or 304"),
        ),
        (json!({ "path": "/none" }), failed("GET /none answered 404, expected 200")),
        (json!({ "path": "/elsewhere" }), failed("GET /elsewhere answered 307, expected 200")),
        (json!({ "path": "/panic" }), failed("GET /panic panicked: no table `totals`")),
        (json!({ "path": "/panics-late" }), failed("GET /panics-late panicked: in its body")),
        (
            json!({ "path": "/broken" }),
            failed("GET /broken answered 200, but its body failed: disk full"),
        ),
        (json!({ "path": "/hang" }), failed("GET /hang took longer than 5s")),
        (json!({ "path": "/silent" }), failed("GET /silent took longer than 5s")),
    ] {
        assert_eq!(in_process().run(&http(fields.clone())).await, outcome, "{fields}");
    }
}

#[tokio::test]
async fn a_canary_in_another_process_is_probed_by_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v2/", listener.local_addr().unwrap());
    let app = Router::new().nest("/v2", canary());
    let server = TestServer::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let transport = || HttpTransport::try_with_roots(CERTIFICATE).unwrap();
    let runner = ProbeRunner::new().target(ProbeTarget::url(&url, transport()).unwrap());
    for (path, outcome) in [
        ("/health", ProbeOutcome::Passed),
        ("/marked", ProbeOutcome::Passed),
        ("/endless", ProbeOutcome::Passed),
        ("/sick", failed("GET /sick answered 503, expected 200")),
        ("/elsewhere", failed("GET /elsewhere answered 307, expected 200")),
    ] {
        assert_eq!(soon(runner.run(&http(json!({ "path": path })))).await, outcome, "{path}");
    }
    drop(server);
    let stopped = async {
        loop {
            match runner.run(&http(json!({ "path": "/health" }))).await {
                ProbeOutcome::Failed(reason) => break reason,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let reason = soon(stopped).await;
    assert!(reason.starts_with("GET /health got no response: "), "{reason}");
}

#[test]
fn an_error_names_an_invalid_url() {
    let transport = || HttpTransport::try_with_roots(CERTIFICATE).unwrap();
    for url in ["", "/v2", "canary", "ftp://a.example", "http://a.example/?v=2", "http://a b/"] {
        let error = ProbeTarget::url(url, transport()).unwrap_err().to_string();
        assert!(error.contains(&format!("{url:?}")), "{error}");
    }
}

#[tokio::test]
async fn a_probe_waits_until_the_service_is_ready() {
    let service = tower::service_fn(async |_: Request<Body>| Err::<Response<Body>, _>("no pool"));
    let runner = ProbeRunner::new().target(ProbeTarget::service(service, Body::new));
    let outcome = runner.run(&http(json!({ "path": "/health" }))).await;
    assert_eq!(outcome, failed("GET /health got no response: no pool"));

    let (mock, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    handle.allow(0);
    let runner = ProbeRunner::new()
        .target(ProbeTarget::service(tower::buffer::Buffer::new(mock, 1), Body::new));
    handle.send_error("it is shut down");
    let outcome = soon(runner.run(&http(json!({ "path": "/health" })))).await;
    let ProbeOutcome::Failed(reason) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("it is shut down"), "{reason}");
}

#[tokio::test]
async fn functions_pass_fail_or_panic() {
    let runner = ProbeRunner::new()
        .function("fine", async || Ok::<_, String>(()))
        .function("wrong", async || Err("the total is 7, expected 8"))
        .function("late", async || -> Result<(), String> { panic!("no {}", "table") })
        .function("at-once", || -> std::future::Ready<Result<(), String>> { panic!() })
        .function("odd", async || -> Result<(), String> { std::panic::panic_any(7) });
    for (name, outcome) in [
        ("fine", ProbeOutcome::Passed),
        ("wrong", failed("the total is 7, expected 8")),
        ("late", failed(r#"function "late" panicked: no table"#)),
        ("at-once", failed(r#"function "at-once" panicked: explicit panic"#)),
        ("odd", failed(r#"function "odd" panicked"#)),
        ("none", failed(r#"no function "none" is registered"#)),
    ] {
        assert_eq!(runner.run(&probe(json!({ "function": name }))).await, outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_hangs_fails_at_the_time_limit() {
    let runner = ProbeRunner::new().function("slow", async || hang::<Result<(), String>>().await);
    let begin = Instant::now();
    let outcome = runner.run(&probe(json!({ "function": "slow" }))).await;
    assert_eq!(outcome, failed(r#"function "slow" took longer than 5s"#));
    assert!((5_000..5_010).contains(&begin.elapsed().as_millis()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_blocks_its_thread_does_not_block_the_probe() {
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(Some(blocked));
    let runner = ProbeRunner::new().function("blocks", move || {
        let blocked = blocked.lock().unwrap().take().unwrap();
        async move { blocked.recv().map_err(|_| "the test ended") }
    });
    let probe: Probe =
        serde_json::from_value(json!({ "kind": { "function": "blocks" }, "timeout": "100ms" }))
            .unwrap();
    // In a task, because the test's thread is not a worker of the runtime.
    let outcome = tokio::spawn(async move { runner.run(&probe).await });
    let outcome = soon(outcome).await.unwrap();
    assert_eq!(outcome, failed(r#"function "blocks" took longer than 100ms"#));
    drop(release);
}

#[tokio::test]
async fn dropping_the_future_of_a_probe_cancels_it() {
    struct DropGuard(mpsc::UnboundedSender<()>);
    impl Drop for DropGuard {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (sender, mut ended) = mpsc::unbounded_channel();
    let (started, mut has_started) = mpsc::unbounded_channel();
    let runner = ProbeRunner::new().function("slow", move || {
        let (ended, started) = (DropGuard(sender.clone()), started.clone());
        async move {
            let _ended = ended;
            started.send(()).unwrap();
            hang::<Result<(), String>>().await
        }
    });
    let slow = probe(json!({ "function": "slow" }));
    tokio::select! {
        outcome = runner.run(&slow) => panic!("{outcome:?}"),
        started = has_started.recv() => started.unwrap(),
    }
    soon(ended.recv()).await.unwrap();
}

#[test]
fn a_plan_with_missing_functions_or_target_is_rejected() {
    let plan = Plan::from_toml(
        r#"
        steps = [{ weight = "1%", probes = ["a", "b", "c"] }]
        probes.a.kind = { http = { path = "/health" } }
        probes.b.kind = { function = "totals" }
        probes.c.kind = { grpc_health = {} }
        "#,
    )
    .unwrap();
    let runner = ProbeRunner::new().function("total", async || Ok::<_, String>(()));
    let missing = "there is no canary to probe: set `ProbeRunner::target`";
    assert_eq!(
        runner.check_plan(&plan).unwrap_err().to_string(),
        format!(
            "probes.a.kind: {missing}\n\
             probes.b.kind.function: no function \"totals\" is registered, only \"total\"\n\
             probes.c.kind: {missing}"
        ),
    );
    let runner = in_process().function("totals", async || Ok::<_, String>(()));
    assert_eq!(runner.check_plan(&plan), Ok(()));
}
