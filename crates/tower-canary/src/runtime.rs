//! A separate tokio runtime for the canary, so that a canary that blocks its threads does not block
//! stable.
//!
//! A handler that computes for a long time or calls a blocking function occupies a worker thread.
//! When all workers of a runtime are occupied, nothing on that runtime makes progress.
//! [`OnRuntime`] runs the calls, the readiness and the response bodies of a canary on another
//! runtime than the server's:
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
//! // After the server has ended. This does not wait for threads that are blocked forever.
//! canary_runtime.shutdown_background();
//! # let _ = app;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "axum"))]
//! # fn main() {}
//! ```
//!
//! The responses have the body type [`RuntimeBody`]. Both channels of a canary must have the same
//! body type, so wrap the canary once more: in `axum::AxumBody` for axum, in `tonic::TonicBody` for
//! tonic, and otherwise in [`UnifyBody`](crate::body::UnifyBody), together with stable. If the
//! layer is applied with `Router::layer` and the canary contains a router, set
//! `CanaryOptions::canary_is_router`.
//!
//! # Cost
//!
//! Each call of the canary costs a task, two channels and two thread switches, and one more switch
//! for each frame of its body. Calls of stable cost the same as before.
//!
//! # Behavior
//!
//! - **Cancellation and time limits**: the task is aborted. This takes effect at its next await
//!   point; a blocked thread stays blocked.
//! - **Panics** are resumed in the caller's task, where the layer counts them.
//! - **Readiness** of the canary is awaited on its runtime, as part of the call. To the layer the
//!   canary is ready while it has fewer than [`max_calls`](OnRuntime::max_calls) unfinished tasks.
//!   When its runtime is blocked, this number is reached and further calls spill.
//! - **Tracing**: the task runs in the span of the caller.
//!
//! # Shutting down
//!
//! You own the runtime. When the server has ended or the canary is rolled back for good, call
//! `Runtime::shutdown_background`, or `Runtime::shutdown_timeout` from a thread that may block. Do
//! not just drop a `Runtime`: this waits for its blocked threads, and panics in async code.
//!
//! After the shutdown the open calls of the canary fail as if they had panicked. New calls spill,
//! except at full weight, where they fail because nothing spills.

mod body;
mod future;
mod host;
mod service;

pub use self::{body::RuntimeBody, future::RuntimeFuture, service::OnRuntime};
