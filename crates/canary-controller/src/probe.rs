//! Automated tests of the canary, run against the canary service itself.
//!
//! A [`ProbeTarget`] is the service that the layer was given, called in the process and beside the
//! layer: probes are no traffic, are counted nowhere, and reach the canary at weight zero. A
//! [`ProbeRunner`] runs the probes of a plan against it.
//!
//! ```
//! use canary_controller::probe::{ProbeRunner, ProbeTarget};
//! use canary_rollout::{Plan, ProbeOutcome};
//! use http::Response;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plan = Plan::from_toml(
//!     r#"
//!     steps = [{ weight = "1%", probes = ["health", "totals"] }]
//!     probes.health.run = { http = { path = "/health" } }
//!     probes.totals.run = { function = "totals" }
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
//! An axum `Router` is `ProbeTarget::router(v2)`, tonic's `Routes` are `ProbeTarget::routes(v2)`, and
//! a canary in another process is [`ProbeTarget::url`].
//!
//! Requests carry `x-canary-probe: 1`, so that handlers and logs can tell them from users'. A canary
//! that panics has failed the probe, and so has one that has not ended its answer in time. What no task
//! can be kept from holds here as well: a canary that blocks its thread blocks one of the runtime's.
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

/// On every request of a probe.
const PROBE_HEADER: &str = "x-canary-probe";
