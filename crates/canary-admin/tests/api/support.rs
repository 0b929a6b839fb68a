//! A server with one rollout, and a client that sends what a test says.

mod client;
mod log;
mod stream;

use std::{
    convert::Infallible,
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use canary_admin::{Access, Admin};
use canary_controller::{
    Clock, Controller, Managed, Plan, RolloutHandle, Timestamp,
    store::{MemoryStore, StateStore},
};
use http::{Request, Response};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_canary::{CanaryLayer, CanaryOptions};

pub(crate) use self::{
    client::{Call, Reply},
    log::Log,
    stream::Stream,
};

/// A server with the rollout of a canary named `shop`.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: Admin,
    pub(crate) controller: Controller,
    pub(crate) rollout: RolloutHandle,
    pub(crate) time: Time,
    pub(crate) served: JoinHandle<()>,
}

/// A clock that a test sets.
#[derive(Clone, Default)]
pub(crate) struct Time(Arc<AtomicI64>);

impl Time {
    pub(crate) fn advance(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) fn clock(&self) -> Clock {
        let time = Arc::clone(&self.0);
        Clock::from_fn(move || Timestamp::from_millis(START_MS + time.load(Ordering::Relaxed)))
    }
}

impl Server {
    pub(crate) async fn start(access: Access) -> Self {
        Self::with_store(access, MemoryStore::new(), Time::default()).await
    }

    pub(crate) async fn with_store(access: Access, store: impl StateStore, time: Time) -> Self {
        Self::with_plan(access, store, time, PLAN).await
    }

    pub(crate) async fn with_plan(
        access: Access,
        store: impl StateStore,
        time: Time,
        plan: &str,
    ) -> Self {
        let controller = Controller::new(store).clock(time.clock()).interval(TICK);
        let rollout = add(&controller, "shop", plan);
        let admin = Admin::new(access);
        admin.watch(&controller);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serve = admin.clone().serve_on(listener);
        let served = tokio::spawn(async { serve.await.unwrap() });
        let mut statuses = rollout.watch();
        statuses.wait_for(|status| status.load_error.is_none()).await.unwrap();
        Self { addr, admin, controller, rollout, time, served }
    }

    pub(crate) async fn send(&self, call: Call) -> Reply {
        call.send(self.addr).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Call::new("GET", path)).await
    }

    pub(crate) async fn command(&self, json: &str) -> Reply {
        self.send(Call::new("POST", COMMANDS).json(json)).await
    }

    /// Returns the id of the latest event as `If-Match` has it.
    pub(crate) async fn etag(&self) -> String {
        self.get("/canaries/shop").await.header("etag").to_owned()
    }

    /// Stops the server and the controller, as a process does that ends.
    pub(crate) async fn stop(self) {
        self.admin.stop();
        self.served.await.unwrap();
        self.controller.stop().await;
    }
}

/// Adds a rollout whose two versions do nothing.
pub(crate) fn add(controller: &Controller, name: &'static str, plan: &str) -> RolloutHandle {
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options(name, (), options);
    let plan = Plan::from_toml(plan).unwrap();
    controller.add(Managed::new(layer.handle(), plan)).unwrap()
}

/// A canary that gets calls.
pub(crate) struct Shop {
    layer: CanaryLayer<Service>,
}

type Service = tower::util::BoxCloneSyncService<Request<()>, Response<String>, Infallible>;

impl Shop {
    pub(crate) fn new(options: CanaryOptions) -> Self {
        let options = options.stable_release("v1").canary_release("v2");
        Self { layer: CanaryLayer::with_options("shop", service(), options) }
    }

    pub(crate) fn add(&self, controller: &Controller, plan: &str) -> RolloutHandle {
        let plan = Plan::from_toml(plan).unwrap();
        controller.add(Managed::new(self.layer.handle(), plan)).unwrap()
    }

    pub(crate) async fn calls(&self, calls: u32) {
        for _ in 0..calls {
            let response = self.layer.layer(service()).oneshot(Request::new(())).await.unwrap();
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        }
    }
}

fn service() -> Service {
    let answer = |_: Request<()>| async { Ok::<_, Infallible>(Response::new("ok".to_owned())) };
    tower::util::BoxCloneSyncService::new(service_fn(answer))
}

/// A file with the tokens `ada`, `gus` and `vic` of an operator, an approver and a viewer.
pub(crate) fn tokens() -> (TempDir, Access) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let lines =
        [line("ada", "operate", ""), line("gus", "approve", ":owner"), line("vic", "view", "")];
    fs::write(&file, lines.concat()).unwrap();
    let access = Access::tokens(file).unwrap();
    (directory, access)
}

/// Returns a line of a token file for a token that is the name.
pub(crate) fn line(name: &str, role: &str, gates: &str) -> String {
    let digest: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{name}:{role}:{digest}{gates}\n")
}

pub(crate) const PLAN: &str = r#"
steps = [
    { weight = "1%", min_duration = "1h" },
    { weight = "10%", min_duration = "1h", gates = ["owner"] },
]

[gates.owner]
kind = { approval = "the owner" }
"#;

pub(crate) const COMMANDS: &str = "/canaries/shop/commands";

/// Short, so that tests do not wait.
const TICK: Duration = Duration::from_millis(20);

/// 2026-11-24T09:00:00Z
const START_MS: i64 = 1_795_510_800_000;
