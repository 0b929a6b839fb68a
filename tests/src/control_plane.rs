//! A rollout, and the server of its admin API.

use std::{io::Write as _, net::SocketAddr};

use axum::{Router, body::Body, routing::get};
use canary_admin::{Access, Admin};
use canary_controller::{Actor, Controller, Managed, Plan, RolloutHandle, store::MemoryStore};
use http::{Method, Request, header};
use serde_json::Value;
use tempfile::NamedTempFile;
use tower_canary::{CanaryLayer, CanaryOptions, Variables};

use crate::{Answer, Client, Server};

/// A rollout of the canary `shop` from release `v1` to `v2`, and its admin API below `/canary`.
#[derive(Debug)]
pub struct ControlPlane {
    server: Server,
    client: Client,
    admin: Admin,
    rollout: RolloutHandle,
    _controller: Controller,
    _tokens: Option<NamedTempFile>,
}

/// The file with the SHA-256 of the tokens `view` and `operate`.
const TOKENS: &str = "\
watcher:view:2bcb43cbc8f6b7ef66331532881143fcbae60a879db3a8fb853f645bb24c2b3c
ada:operate:2c29d39181de8f853de5e48ba983a5c88612b9dbaa5ab32c7748800a0840aeb8
";

impl ControlPlane {
    /// Starts a rollout by hand, for callers on this machine.
    pub async fn start() -> Self {
        Self::start_with(Access::loopback(), Plan::by_hand(), None).await
    }

    /// Starts a rollout of a plan, for callers on this machine.
    pub async fn of_plan(plan: &str) -> Self {
        let plan = Plan::from_toml(plan).expect("the plan is valid");
        Self::start_with(Access::loopback(), plan, None).await
    }

    /// Starts a rollout by hand, for `watcher` with the token `view` and `ada` with `operate`.
    pub async fn with_tokens() -> Self {
        let mut file = NamedTempFile::new().expect("a file can be created");
        file.write_all(TOKENS.as_bytes()).expect("the file can be written");
        let access = Access::tokens(file.path()).expect("the file is valid");
        Self::start_with(access, Plan::by_hand(), Some(file)).await
    }

    async fn start_with(access: Access, plan: Plan, tokens: Option<NamedTempFile>) -> Self {
        let stage = Variables::new().with("backend", "b1").with("limit", 20);
        let overrides = Variables::new().with("backend", "b2");
        let options = CanaryOptions::new()
            .variables(stage, overrides)
            .stable_release("v1")
            .canary_release("v2");
        let release = |name: &'static str| Router::new().route("/", get(async move || name));
        let layer = CanaryLayer::with_options("shop", release("v2"), options);
        let controller = Controller::new(MemoryStore::new());
        let managed = Managed::new(layer.handle(), plan);
        let rollout = controller.add(managed).expect("the plan has no requirements");
        let mut statuses = rollout.watch();
        let loaded = statuses.wait_for(|status| status.load_error.is_none()).await;
        drop(loaded.expect("the controller runs"));

        let admin = Admin::new(access);
        admin.watch(&controller);
        let app = release("v1")
            .layer(layer)
            .nest_service("/canary", admin.router())
            .merge(admin.grpc_routes().into_axum_router());
        let server = Server::of_router(app);
        let client = Client::http1(&server);
        Self { server, client, admin, rollout, _controller: controller, _tokens: tokens }
    }

    /// Returns the URL of the admin API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/canary", self.server.address())
    }

    /// Returns the address of the server, which has the gRPC service too.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the client of [`ask`](Self::ask).
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the admin API.
    #[must_use]
    pub const fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Returns the rollout.
    #[must_use]
    pub const fn rollout(&self) -> &RolloutHandle {
        &self.rollout
    }

    /// Returns the names of all events that the rollout has recorded.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        let status = self.rollout.status();
        status.rollout.history().map(|event| event.kind.as_str().to_owned()).collect()
    }

    /// Sends a request for a path below `/canary`, with headers and a body of JSON.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/canary{path}"))
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            let name = header::HeaderName::try_from(*name).expect("the name is valid");
            let value = header::HeaderValue::try_from(*value).expect("the value is valid");
            request.headers_mut().expect("the path is valid").insert(name, value);
        }
        self.client.ask(request.body(body.into()).expect("the request is valid")).await
    }
}

/// A person who gives commands.
#[must_use]
pub fn ada() -> Actor {
    Actor::person("ada")
}

/// Returns the body as JSON.
#[must_use]
pub fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body)
        .unwrap_or_else(|error| panic!("{error}: {} {}", answer.status, answer.body))
}
