//! A tokio runtime of its own for the canary, so that one which blocks its threads blocks no others.
//!
//! A handler that computes for long or waits in a blocking way takes a worker thread out of its runtime;
//! as many such calls as there are workers, and nothing of that runtime runs any more. [`OnRuntime`]
//! makes a canary's calls, its readiness and its response bodies run on another runtime than the server:
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use axum::{Router, routing::get};
//! use tokio::runtime;
//! use tower_canary::{
//!     CanaryLayer, CanaryOptions, Channel,
//!     axum::{AxumBody, RouterExt},
//!     runtime::OnRuntime,
//! };
//!
//! let canary_runtime = runtime::Builder::new_multi_thread()
//!     .worker_threads(2)
//!     .thread_name("canary")
//!     .enable_all()
//!     .build()?;
//!
//! let v1 = Router::new().route("/", get(|| async { "v1" }));
//! let v2 = Router::new().route("/", get(|| async { "v2" })).with_state(());
//! let v2 = AxumBody::new(OnRuntime::new(canary_runtime.handle().clone(), v2));
//!
//! let options = CanaryOptions::new()
//!     .time_limit(Channel::Canary, Duration::from_secs(2))
//!     .concurrency_limit(100);
//! let app: Router = v1.canary(CanaryLayer::with_options("shop", v2, options));
//! // axum::serve(listener, app.into_make_service()).await?;
//!
//! // Whoever owns the runtime ends it, without waiting for threads that never come back.
//! canary_runtime.shutdown_background();
//! # let _ = app;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "axum"))]
//! # fn main() {}
//! ```
//!
//! The response has the body type [`RuntimeBody`]. The channels of a canary must have one body type, so
//! wrap the canary once more: in `axum::AxumBody` for axum, in `tonic::TonicBody` for tonic, and in
//! [`UnifyBody`](crate::UnifyBody), as stable, for anything else. Where the layer is applied with
//! `Router::layer`, it has to be told of the router in there:
//! `CanaryOptions::canary_is_router`.
//!
//! # What it costs
//!
//! A task, two channels, and two changes of the thread for each call of the canary; one more change for
//! each frame of its body. Calls of stable cost what they did.
//!
//! # What it means
//!
//! - **The caller goes away**, or its time is over: the task is aborted, which takes effect where it
//!   waits next. A thread that is blocked stays blocked.
//! - **A panic** is carried over to the caller, where the layer counts it.
//! - **Readiness** is waited for on the other runtime, as a part of the call. To the layer the canary is
//!   ready as long as no more than [`max_calls`](OnRuntime::max_calls) of its tasks are unfinished. So
//!   calls to a runtime that is stuck spill after a while, instead of piling up.
//! - **Spans** of tracing go along.
//!
//! # Shutting down
//!
//! The runtime is yours. Call `Runtime::shutdown_background`, or `shutdown_timeout` from a thread that
//! may block, when the server has ended or the canary is rolled back for good. Simply dropping a
//! `Runtime` waits for its blocked threads, and panics inside of async code. Once it is shut down, the
//! canary's open calls fail as if they had panicked, and new ones spill; at full weight, where nothing
//! spills, they fail.

mod body;
mod future;
mod life;
mod service;

pub use self::{body::RuntimeBody, future::RuntimeFuture, service::OnRuntime};
