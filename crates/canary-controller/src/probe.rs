//! Probes: automated checks of the canary service.
//!
//! A [`ProbeTarget`] is usually the service that the layer was given. Probes call it directly, so
//! they are not counted as traffic and reach the canary even at weight zero. A [`ProbeRunner`] runs
//! the probes of a plan.
//!
//! ```
//! use canary_controller::probe::{ProbeRunner, ProbeTarget};
//! use canary_rollout::{Plan, tick::ProbeOutcome};
//! use http::Response;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plan = Plan::from_toml(
//!     r#"
//!     steps = [{ weight = "1%", probes = ["health", "totals"] }]
//!     probes.health.kind = { http = { path = "/health" } }
//!     probes.totals.kind = { function = "totals" }
//!     "#,
//! )?;
//!
//! let v2 = tower::service_fn(async |_: http::Request<String>| {
//!     Ok::<_, std::convert::Infallible>(Response::builder().status(503).body(String::new()).unwrap())
//! });
//! let probes = ProbeRunner::new()
//!     .target(ProbeTarget::service(v2, |_body| String::new()))
//!     .function("totals", async || Err("the cart's total is 7, expected 8"));
//! probes.check_plan(&plan)?;
//!
//! let health = probes.run(&plan.probes()["health"]).await;
//! assert_eq!(health, ProbeOutcome::Failed("GET /health answered 503, expected 200".into()));
//! let totals = probes.run(&plan.probes()["totals"]).await;
//! assert_eq!(totals, ProbeOutcome::Failed("the cart's total is 7, expected 8".into()));
//! # Ok(())
//! # }
//! ```
//!
//! Use `ProbeTarget::router` for an axum `Router`, `ProbeTarget::routes` for tonic's `Routes`, and
//! [`ProbeTarget::url`] for a canary in another process.
//!
//! Requests have the header `x-canary-probe: 1`, so that handlers and logs can distinguish them
//! from user traffic. A probe fails if the canary panics, or if its response does not end in time.
//! A canary that blocks its thread blocks a thread of the runtime.

mod body;
#[cfg(feature = "tonic")]
mod grpc;
mod http;
mod runner;
mod target;

pub use self::{
    body::ProbeBody,
    runner::ProbeRunner,
    target::{InvalidTarget, ProbeTarget},
};

/// The header of all probe requests.
const PROBE_HEADER: &str = "x-canary-probe";
