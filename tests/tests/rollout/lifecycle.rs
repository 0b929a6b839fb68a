//! A complete rollout over real sockets: steps, promotion, bake and rollback.
//!
//! The clock runs sixty times as fast as real time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, http::StatusCode, routing::get};
use canary_controller::{Clock, Controller, Managed, RolloutHandle, store::FileStore};
use canary_core::Weight;
use canary_rollout::{Actor, Phase, Plan, Timestamp};
use canary_tests::{
    Client, Server,
    deployment::{Releases, client, serve},
    echo::proto::Ask,
    timeout::TIMEOUT,
};
use tokio::sync::Mutex;
use tonic::{Status, body::Body};
use tower::{ServiceExt, service_fn};
use tower_canary::{CanaryHandle, CanaryLayer, CanaryOptions, Channel};

const PLAN: &str = r#"
steps = [
    { weight = "1%", min_duration = "30s", min_calls = 1 },
    { weight = "10%", min_duration = "1m", min_calls = 20 },
    { weight = "50%", min_duration = "1m", min_calls = 100 },
]
bake = { duration = "1h", holdback = "10%" }
monitors = [{ measure = "failures", margins = { worse = { ratio = 1.5, rate = 0.01 }, good = { ratio = 2.0, rate = 0.1 } } }]
"#;

/// A clock that runs sixty times as fast as the system's.
fn fast() -> Clock {
    let (start, began): (Timestamp, _) = ("2026-11-24T09:00:00Z".parse().unwrap(), Instant::now());
    Clock::from_fn(move || start + began.elapsed() * 60)
}

async fn manage(store: FileStore, canary: &CanaryHandle) -> (Controller, RolloutHandle) {
    let controller = Controller::new(store).clock(fast()).interval(Duration::from_millis(20));
    let managed = Managed::new(canary.clone(), Plan::from_toml(PLAN).unwrap());
    let rollout = controller.add(managed).unwrap();
    rollout.start(Actor::person("ada"), "v2 is built").await.unwrap();
    (controller, rollout)
}

/// Makes calls until the rollout reaches the phase.
async fn until(rollout: &RolloutHandle, phase: Phase, call: impl AsyncFn()) {
    let began = Instant::now();
    while rollout.status().rollout.phase() != phase {
        assert!(began.elapsed() < TIMEOUT, "{}", rollout.status().summary);
        call().await;
    }
}

fn events(rollout: &RolloutHandle) -> Vec<String> {
    let status = rollout.status();
    status.rollout.history().map(|event| format!("{} {}", event.by, event.kind)).collect()
}

/// Keeps the two tests apart: each makes calls as fast as it can, and together they starve the
/// controllers of two cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

const EVENTS: [&str; 6] = [
    "ada started (attempt 1)",
    "the plan began step 1",
    "the plan began step 2",
    "the plan began step 3",
    "the judge began the bake",
    "the judge rolled back",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_axum_router_is_promoted_and_rolled_back_during_the_bake() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let is_faulty = Arc::new(AtomicBool::new(false));
    let v2 = Router::new().route("/users/{id}", {
        let is_faulty = Arc::clone(&is_faulty);
        get(async move || {
            if is_faulty.load(Ordering::Relaxed) {
                (StatusCode::INTERNAL_SERVER_ERROR, "v2")
            } else {
                (StatusCode::OK, "v2")
            }
        })
    });
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options("shop", v2, options);
    let canary = layer.handle();
    let app = Router::new().route("/users/{id}", get(async || "v1")).layer(layer);
    let server = Server::of_router(app);
    let clients = [Client::http1(&server), Client::http2(&server)];

    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).await.unwrap();
    let (controller, rollout) = manage(store.clone(), &canary).await;
    assert_eq!(canary.weight(), "1%".parse().unwrap());
    let failed = AtomicUsize::new(0);
    let call = async || {
        for client in &clients {
            let answer = client.get("/users/7").await;
            let from = if answer.channel() == Some(Channel::Canary) { "v2" } else { "v1" };
            assert_eq!(answer.body, from);
            failed.fetch_add(usize::from(!answer.status.is_success()), Ordering::Relaxed);
        }
    };
    until(&rollout, Phase::Baking, call).await;
    assert_eq!(canary.weight(), Weight::from_percent(90));
    assert_eq!(failed.load(Ordering::Relaxed), 0);

    // A restart during the bake: the next process continues the rollout.
    controller.stop().await;
    let controller = Controller::new(store).clock(fast()).interval(Duration::from_millis(20));
    let managed = Managed::new(canary.clone(), Plan::from_toml(PLAN).unwrap());
    let rollout = controller.add(managed).unwrap();
    until(&rollout, Phase::Baking, call).await;
    assert_eq!(canary.weight(), Weight::from_percent(90));

    is_faulty.store(true, Ordering::Relaxed);
    until(&rollout, Phase::RolledBack, call).await;
    assert_eq!(canary.weight(), Weight::ZERO);
    assert!(failed.load(Ordering::Relaxed) < 100, "{failed:?} calls failed");
    assert_eq!(events(&rollout), EVENTS);
    assert_eq!(clients[0].get("/users/7").await.body, "v1");
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_service_is_promoted_and_rolled_back_during_the_bake() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let (releases, is_faulty) = (Releases::new(), Arc::new(AtomicBool::new(false)));
    let v2 = {
        let (routes, is_faulty) = (releases.routes(Channel::Canary), Arc::clone(&is_faulty));
        service_fn(move |request: http::Request<Body>| {
            let (routes, is_faulty) = (routes.clone(), is_faulty.load(Ordering::Relaxed));
            async move {
                // The HTTP status is 200 in both cases.
                if is_faulty {
                    Ok(Status::internal("v2").into_http())
                } else {
                    routes.oneshot(request).await
                }
            }
        })
    };
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options("echo", v2, options);
    let canary = layer.handle();
    let server = serve(releases.routes(Channel::Stable), layer).await;
    let client = client(&server).await;

    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).await.unwrap();
    let (controller, rollout) = manage(store, &canary).await;
    let failed = AtomicUsize::new(0);
    let call = async || {
        let answer = client.clone().unary(Ask { text: "hi".into(), ..Ask::default() }).await;
        failed.fetch_add(usize::from(answer.is_err()), Ordering::Relaxed);
    };
    until(&rollout, Phase::Baking, call).await;
    assert_eq!(canary.weight(), Weight::from_percent(90));
    assert_eq!(failed.load(Ordering::Relaxed), 0);

    is_faulty.store(true, Ordering::Relaxed);
    until(&rollout, Phase::RolledBack, call).await;
    assert_eq!(canary.weight(), Weight::ZERO);
    assert!(failed.load(Ordering::Relaxed) < 100, "{failed:?} calls failed");
    assert_eq!(events(&rollout), EVENTS);
    controller.stop().await;
}
