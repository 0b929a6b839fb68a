//! A process with a canary and its page, which can be killed and started again on the same port.

use std::{
    convert::Infallible,
    env, fs, future,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::{Json, Router, body::Body, routing::get};
use canary_admin::{Access, Admin};
use canary_controller::{Actor, Controller, Managed, Plan, RolloutHandle, store::FileStore};
use canary_tests::{browser_page::BrowserPage, deployment::release, skip::skip, timeout::complete};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    net::TcpSocket,
    runtime::{self, Runtime},
    task,
};
use tower_canary::{
    Assignment, CanaryLayer, CanaryOptions, Channel, Variables, Weight, axum::RouterExt as _,
};
use tower_canary_mirror::{MirrorLayer, MirrorOptions};

/// The plan stays in its first step, at half of the calls, where it waits for a gate.
const PLAN: &str = r#"
steps = [
    { weight = "50%", min_duration = "0s", min_calls = 1, gates = ["owner"] },
    { weight = "60%", min_duration = "1h", min_calls = 1000 },
]
monitors = [{ measure = "failures" }, { measure = "share" }]

[gates.owner]
kind = { approval = "the owner of the shop" }
"#;

/// An application with the canary "shop", and with "cart", whose rollout has not started. Dropping it
/// kills it.
pub(crate) struct Process {
    /// Keeps the port while the process is dead.
    _port: TcpSocket,
    address: SocketAddr,
    state: TempDir,
    access: fn(&Path) -> Access,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    rollout: RolloutHandle,
    _controller: Controller,
}

impl Process {
    /// Starts the process, and its rollout in the name of ada.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| Access::loopback()).await
    }

    /// Like [`start`](Self::start). `access` gets a directory for its files.
    pub(crate) async fn start_with(access: fn(&Path) -> Access) -> Self {
        let port = socket("127.0.0.1:0".parse().unwrap());
        let address = port.local_addr().unwrap();
        let state = tempfile::tempdir().unwrap();
        let mut process = Self { _port: port, address, state, access, running: None };
        process.start_again().await;
        process.rollout().start(Actor::person("ada"), "v2 is built").await.unwrap();
        process
    }

    /// Starts the process after it was killed.
    pub(crate) async fn start_again(&mut self) {
        let listener = socket(self.address).listen(64).unwrap().into_std().unwrap();
        let (directory, access) = (self.state.path().to_owned(), self.access);
        let runtime = runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        let started = runtime.spawn(async move {
            let store = FileStore::open(directory.join("rollouts")).await.unwrap();
            let controller = Controller::new(store).interval(Duration::from_millis(50));
            let options = || CanaryOptions::new().stable_release("v1").canary_release("v2");
            let cart = CanaryLayer::with_options("cart", (), options());
            controller.add(Managed::new(cart.handle(), Plan::from_toml(PLAN).unwrap())).unwrap();
            let stage = Variables::new().with("backend", "b1").with("limit", 20);
            let options = options().variables(stage, Variables::new().with("backend", "b2"));
            let layer = CanaryLayer::with_options("shop", version(Channel::Canary), options);
            let plan = Plan::from_toml(PLAN).unwrap();
            let rollout = controller.add(Managed::new(layer.handle(), plan)).unwrap();
            let mut status = rollout.watch();
            status.wait_for(|status| status.load_error.is_none()).await.unwrap();
            let options = MirrorOptions::new().share(Weight::FULL);
            let mirror = MirrorLayer::with_options("shop", total(Channel::Canary), options);
            let admin = Admin::builder(access(&directory))
                .environment("test", "#8a2be2")
                .mirror("shop", mirror.handle())
                .build();
            admin.watch(&controller);
            let app = version(Channel::Stable).canary(layer);
            let app = app.merge(total(Channel::Stable).layer(mirror));
            let app = app.nest_service("/canary", admin.router());
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
            (controller, rollout)
        });
        let (controller, rollout) = complete(started).await.unwrap();
        self.running = Some(Running { runtime, rollout, _controller: controller });
    }

    /// Ends all tasks of the process where they are, and its connections.
    pub(crate) async fn kill(&mut self) {
        let Running { runtime, .. } = self.running.take().unwrap();
        let ended = task::spawn_blocking(|| runtime.shutdown_timeout(Duration::from_secs(20)));
        complete(ended).await.unwrap();
    }

    /// Removes all that the process has stored.
    pub(crate) fn wipe_store(&self) {
        fs::remove_dir_all(self.state.path().join("rollouts")).unwrap();
    }

    pub(crate) fn rollout(&self) -> &RolloutHandle {
        &self.running.as_ref().unwrap().rollout
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Opens the page of the canary, and waits until it is live.
    ///
    /// Returns `None`, and skips the test, if there is no browser.
    pub(crate) async fn open_page(&self) -> Option<BrowserPage> {
        let mut page = open_browser().await?;
        page.load(&self.url("/canary/#/shop")).await;
        page.wait_for(IS_LIVE).await;
        Some(page)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(Running { runtime, .. }) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts a browser with an empty page. Returns `None`, and skips the test, if there is none.
pub(crate) async fn open_browser() -> Option<BrowserPage> {
    match BrowserPage::open(env!("CARGO_TARGET_TMPDIR")).await {
        Ok(page) => Some(page),
        Err(reason) => {
            skip("dashboard", reason);
            None
        }
    }
}

/// Writes a picture to the directory that `CANARY_SCREENSHOTS` names, if there is one.
pub(crate) async fn take_picture(page: &mut BrowserPage, name: &str) {
    if let Some(directory) = env::var_os("CANARY_SCREENSHOTS").map(PathBuf::from) {
        let picture = page.screenshot().await;
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("dashboard-{name}.png")), picture).unwrap();
    }
}

/// Several sockets can have the same port, so that it stays reserved while the server is down.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

fn version(channel: Channel) -> Router {
    Router::new()
        .route("/hello", get(async move || release(channel)))
        .route("/backend", get(backend))
        .route("/drained", get(async move |it| stream(channel, draining(it))))
        .route("/endless", get(async move || stream(channel, future::pending())))
}

async fn backend(assignment: Assignment) -> String {
    assignment.variables().text("backend").unwrap().to_owned()
}

/// A response that begins with the release, and ends with "good-bye" when `last` does.
fn stream(channel: Channel, last: impl Future<Output = ()> + Send + 'static) -> Body {
    let first = stream::iter([release(channel)]);
    let last = stream::once(async move {
        last.await;
        "good-bye"
    });
    Body::from_stream(first.chain(last).map(Ok::<_, Infallible>))
}

async fn draining(assignment: Assignment) {
    assignment.draining().await;
}

/// The versions differ in the total, and the calls of this path are only mirrored.
fn total(channel: Channel) -> Router {
    let total = if channel == Channel::Stable { 70 } else { 63 };
    Router::new().route("/total", get(async move || Json(json!({"total": total}))))
}

/// Whether the page is live and shows the canary, in JavaScript.
pub(crate) const IS_LIVE: &str =
    "document.body.dataset.live === 'live' && document.querySelector('#status')";

/// The button of a command, in JavaScript.
pub(crate) fn button(command: &str) -> String {
    format!("document.querySelector('[data-command={command}]')")
}

/// The text of the open dialog, in JavaScript.
pub(crate) const DIALOG: &str = "document.querySelector('dialog[open]:last-of-type')?.innerText";

/// The button of the open dialog that sends its command, in JavaScript.
pub(crate) const SEND: &str =
    "document.querySelector('dialog[open] form > .buttons > button:last-child')";
