//! The control plane of canary rollouts: an HTTP API and a page for operators, as an axum router.
//!
//! ```no_run
//! use std::net::SocketAddr;
//!
//! use axum::{Router, routing::get};
//! use canary_admin::{Access, Admin};
//! use canary_controller::{Controller, Managed, Plan, store::MemoryStore};
//! use tower_canary::{CanaryLayer, CanaryOptions, axum::RouterExt as _};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let v1 = Router::new().route("/", get(|| async { "v1" }));
//! # let v2 = Router::new().route("/", get(|| async { "v2" }));
//! let options = CanaryOptions::new().stable_release("v1.9.2").canary_release("v2.0.0");
//! let layer = CanaryLayer::with_options("shop", v2, options);
//! let controller = Controller::new(MemoryStore::new());
//! let plan = Plan::from_toml("steps = [{ weight = '1%' }, { weight = '10%' }]")?;
//! controller.add(Managed::new(layer.handle(), plan).auto_start())?;
//!
//! let admin = Admin::new(Access::loopback());
//! admin.watch(&controller);
//! // Outside of the canary, so that its requests are neither split nor counted.
//! let app = v1.canary(layer).nest_service("/canary", admin.router());
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! // The page is at http://127.0.0.1:3000/canary/.
//! axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
//!     .with_graceful_shutdown(async move {
//!         // .. the signal to stop ..
//!         # std::future::pending::<()>().await;
//!         admin.stop();
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Admin::serve`] needs no application: it serves on a port of its own, such as one that only the
//! network of the operators reaches.
//!
//! ```no_run
//! # use canary_admin::{Access, Admin};
//! # async fn serve(controller: canary_controller::Controller) -> Result<(), Box<dyn std::error::Error>> {
//! let access = Access::tokens("/etc/shop/canary-tokens")?;
//! let admin = Admin::builder(access).environment("prod", "#b42318").build();
//! admin.watch(&controller);
//! admin.serve("0.0.0.0:9000".parse()?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The API
//!
//! `GET openapi.json` describes it, and the crate `canary-api` has its types and a client. One endpoint,
//! `POST canaries/{canary}/commands`, takes all commands; with `?dry=1` it answers with the effect that
//! the command would have. A command that gives the canary more calls, opens a gate, discards evidence
//! or changes variables must name the latest event that its author has seen, in `If-Match`, and so must a
//! new plan. If another operator was faster, the response is a 412 with the events since. A rollback and a
//! halt always go through.
//!
//! `GET canaries/{canary}/events` with `Accept: text/event-stream` is a stream of events, each once and
//! in order, and of the state of the canary, once a second. It resumes after `Last-Event-ID`, also on
//! another replica or after a restart, because the events are read from the controller's store.
//!
//! # Security
//!
//! Nothing is open by default: an [`Access`] has to be chosen, and each refuses requests that fail its checks.
//!
//! - [`Access::loopback`] is for callers on the machine. It checks the address of the caller, refuses
//!   requests with the headers that proxies add, and answers only to `localhost`, `127.0.0.1`, `[::1]` and
//!   [allowed](AdminBuilder::allow_host) names, so that a website cannot reach the API under its own name.
//!   A proxy that adds no headers looks like a local caller, so use tokens behind a proxy.
//!   [`Admin::serve`] does not serve with it on any other address.
//! - [`Access::tokens`] compares the SHA-256 of a bearer token with a file, in constant time. The
//!   file alone is of no use to a thief. An address that sends wrong tokens has to wait
//!   before the next wrong one; a valid token always passes.
//! - [`Access::hook`] asks the application.
//!
//! | role | may |
//! |---|---|
//! | `view` | see everything but the values of variables, and preview commands |
//! | `approve` | also approve and reject gates, of which its token can name some |
//! | `operate` | also give all commands, change the plan, and see and change variables |
//!
//! Requests of other websites change nothing: they are refused by `Sec-Fetch-Site` and `Origin`, and each
//! change needs the media type `application/json`. A content security policy keeps the page from loading
//! anything from elsewhere. Bodies have at most 64 KiB. At most 128 streams are open, and at most 32 of one
//! operator. Connections to [`Admin::serve`] without a request do not keep others out. Plans from the
//! API have no webhooks and no receivers of notifications, so that they cannot make the service send
//! requests to other machines. Plans are shown without the paths of their URLs, and mirrored responses
//! without their values.
//!
//! Each event of a rollout has the name of the operator who caused it. The tracing target
//! `canary::audit` also gets each refused request, each change that failed, and each read of the values of
//! variables, with the operator. Of refused requests without an operator, it gets ten at once and then one
//! per second, with the number of those left out. It never gets a token or the value of a variable.
//!
//! # Cost
//!
//! The state of a canary is rendered once for each of its ticks, and only while it is asked for. A stream
//! has no queue: a client that reads slowly misses states, but no events. The charts keep at most 500 kB
//! per canary.
#![doc = include_str!("../docs/cost.md")]
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `grpc` | the gRPC service, with health and reflection |

mod access;
mod admin;
mod audit;
mod budget;
mod canary;
mod document;
mod extract;
pub mod gateway;
#[cfg(feature = "grpc")]
mod grpc;
mod page;
mod problem;
mod recorder;
mod router;
mod routes;
mod serve;
mod shared;
mod stream;
mod streams;
mod view;

pub use canary_api::{Operator, Role};

pub use self::{
    access::{Access, TokenFileError},
    admin::{Admin, AdminBuilder},
    serve::ServeError,
};
