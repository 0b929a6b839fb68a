//! A shop with a canary, its server, and the binary as a process.

mod ctl;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    middleware::{Next, from_fn_with_state},
};
use canary_admin::{Access, Admin};
use canary_controller::{Actor, Controller, Managed, Phase, Plan, RolloutHandle, store::FileStore};
use http::{Method, Request, Response};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tower::service_fn;
use tower_canary::{CanaryLayer, CanaryOptions};

pub(crate) use self::ctl::{Ctl, Ended, Running};

/// Two steps that last longer than the tests.
pub(crate) const PLAN: &str = r#"
    steps = [
        { weight = "10%", min_duration = "1h" },
        { weight = "50%", min_duration = "1h" },
    ]
"#;

/// A gate before the first step.
pub(crate) const PLAN_WITH_GATE: &str = r#"
    start.gates = ["owner"]
    steps = [{ weight = "10%", min_duration = "1h" }]

    [gates.owner]
    kind = { approval = "the owner of the shop" }
"#;

/// A canary with its rollout, served at a free port. A restart keeps the port and the state.
pub(crate) struct Shop {
    pub(crate) rollout: RolloutHandle,
    pub(crate) addr: SocketAddr,
    directory: Arc<TempDir>,
    options: ShopOptions,
    process: Process,
}

#[derive(Clone, Debug)]
pub(crate) struct ShopOptions {
    pub(crate) plan: &'static str,
    pub(crate) release: &'static str,
    /// The text of the file of tokens; without, all callers on this machine may do everything.
    pub(crate) tokens: Option<String>,
    /// Whether the response to the first command is lost.
    pub(crate) loses_response: bool,
}

impl ShopOptions {
    pub(crate) const fn new(plan: &'static str) -> Self {
        Self { plan, release: "v2", tokens: None, loses_response: false }
    }
}

/// The parts that end with the process of a server.
struct Process {
    admin: Admin,
    controller: Controller,
    server: JoinHandle<()>,
}

impl Shop {
    pub(crate) async fn new() -> Self {
        Self::with_plan(PLAN).await
    }

    pub(crate) async fn with_plan(plan: &'static str) -> Self {
        Self::with_options(ShopOptions::new(plan)).await
    }

    pub(crate) async fn with_options(options: ShopOptions) -> Self {
        Self::in_directory(Arc::new(TempDir::new().unwrap()), options).await
    }

    /// Starts another shop with the same state, as the next replica of a fleet.
    pub(crate) async fn replica(&self) -> Self {
        Self::in_directory(Arc::clone(&self.directory), self.options.clone()).await
    }

    async fn in_directory(directory: Arc<TempDir>, options: ShopOptions) -> Self {
        let free = "127.0.0.1:0".parse().unwrap();
        let (rollout, addr, process) = start(directory.path(), &options, free).await;
        Self { rollout, addr, directory, options, process }
    }

    /// Waits until this shop tells so about the replicas of its fleet.
    pub(crate) async fn until_fleet(&self, sentence: &str) {
        let mut status = self.rollout.watch();
        let told = status.wait_for(|status| {
            status.fleet.as_ref().is_some_and(|fleet| fleet.to_string() == sentence)
        });
        let is_told = tokio::time::timeout(HANG, told).await.is_ok();
        assert!(is_told, "expected {sentence:?}, found {:?}", self.rollout.status().fleet);
    }

    /// Ends the server, as the end of its process would.
    pub(crate) async fn stop(&mut self) {
        self.process.server.abort();
        self.process.admin.stop();
        let none = Controller::new(canary_controller::store::MemoryStore::new());
        std::mem::replace(&mut self.process.controller, none).stop().await;
    }

    /// Starts the server again at the same port, with this release of the canary.
    pub(crate) async fn start_again(&mut self, release: &'static str) {
        self.options.release = release;
        let (rollout, _, process) = start(self.directory.path(), &self.options, self.addr).await;
        (self.rollout, self.process) = (rollout, process);
    }

    /// Takes over the state of another shop, as if a backup were restored. Both have to be stopped.
    pub(crate) fn take_state(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.directory, &mut other.directory);
    }

    /// Starts the plan, and waits until it is in this phase.
    pub(crate) async fn begin(&self, phase: Phase) {
        self.rollout.start(ada(), "go").await.unwrap();
        self.until(phase).await;
    }

    pub(crate) async fn until(&self, phase: Phase) {
        let mut status = self.rollout.watch();
        let reached = status.wait_for(|status| status.rollout.phase() == phase);
        let is_reached = tokio::time::timeout(HANG, reached).await.is_ok();
        assert!(is_reached, "expected phase {phase}, found {}", self.phase());
    }

    /// Waits until the gate asks a person.
    pub(crate) async fn until_gate_waits(&self) {
        let mut status = self.rollout.watch();
        status.wait_for(|status| status.rollout.waiting_gates().next().is_some()).await.unwrap();
    }

    pub(crate) fn phase(&self) -> Phase {
        self.rollout.status().rollout.phase()
    }

    /// Returns the sentences of the history.
    pub(crate) async fn history(&self) -> Vec<String> {
        let events = self.rollout.history(100).await.unwrap();
        events.iter().map(ToString::to_string).collect()
    }

    /// Returns the binary with the URL of the shop.
    pub(crate) fn ctl(&self, line: &str) -> Ctl {
        Ctl::new(&format!("http://{}", self.addr), line)
    }
}

pub(crate) fn ada() -> Actor {
    Actor::person("ada")
}

async fn start(
    state: &Path,
    options: &ShopOptions,
    addr: SocketAddr,
) -> (RolloutHandle, SocketAddr, Process) {
    let releases = CanaryOptions::new().stable_release("v1").canary_release(options.release);
    let service = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new("answer".to_owned()))
    });
    let canary = CanaryLayer::with_options("shop", service, releases).handle();
    let store = FileStore::open(state.join("state")).await.unwrap();
    let controller = Controller::new(store).interval(Duration::from_millis(20));
    let rollout =
        controller.add(Managed::new(canary, Plan::from_toml(options.plan).unwrap())).unwrap();
    let admin = Admin::new(access(state, options));
    admin.watch(&controller);
    let listener = TcpListener::bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut router = admin.router();
    if options.loses_response {
        router = router.layer(from_fn_with_state(Arc::new(AtomicBool::new(false)), lose_response));
    }
    let app = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let mut status = rollout.watch();
    status.wait_for(|status| status.load_error.is_none()).await.unwrap();
    (rollout, addr, Process { admin, controller, server })
}

/// Cuts the connection instead of sending the response to the first command.
async fn lose_response(
    State(is_lost): State<Arc<AtomicBool>>,
    request: axum::extract::Request,
    next: Next,
) -> axum::response::Response {
    let is_command = request.method() == Method::POST && request.uri().query().is_none();
    let response = next.run(request).await;
    if !is_command || is_lost.swap(true, Ordering::SeqCst) {
        return response;
    }
    let (head, _) = response.into_parts();
    let cut = futures_util::stream::iter([Err::<&[u8], _>(io::Error::other("cut"))]);
    axum::response::Response::from_parts(head, Body::from_stream(cut))
}

/// The time after which a test fails instead of waiting.
const HANG: Duration = Duration::from_secs(120);

fn access(state: &Path, options: &ShopOptions) -> Access {
    match &options.tokens {
        None => Access::loopback(),
        Some(tokens) => {
            let file = state.join("tokens");
            std::fs::write(&file, tokens).unwrap();
            Access::tokens(file).unwrap()
        }
    }
}
