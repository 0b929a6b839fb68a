//! Canary releases inside the process: a [Tower](tower_layer) middleware for axum and tonic.
//!
//! You have version 2 of a router or a gRPC service, and want 0.1 % of the calls to try it: watch it,
//! raise it, and either promote it or take it back at once, without a mesh, a gateway or a second
//! deployment. A [`CanaryLayer`] puts the new service, the *canary*, beside the one it is applied to,
//! *stable*, and sends each call to one of them by a weight; its [`CanaryHandle`] changes the weight
//! while calls come in, and tells how both are doing.
//!
//! # axum
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, routing::get};
//! use tower_canary::CanaryLayer;
//!
//! let v1 = Router::new().route("/products/{id}", get(|| async { "one" }));
//! let v2 = Router::new().route("/products/{id}", get(|| async { "two" }));
//!
//! let layer = CanaryLayer::new("shop", v2); // at weight zero
//! let canary = layer.handle(); // keep it where you decide
//! let app: Router = v1.layer(layer);
//! // axum::serve(listener, app.into_make_service()).await?;
//!
//! canary.set_weight("0.1%".parse()?)?; // the very next call on every thread sees it
//! canary.promote()?;
//! canary.roll_back();
//! # let _ = app;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "axum"))]
//! # fn main() {}
//! ```
//!
//! Other ways to mount it, and what each costs, are in the module `axum`, behind the feature of that
//! name. Health checks and metrics [bypass](Bypass) the canary, however it is mounted.
//!
//! # tonic
//!
//! The layer goes on the server, and the canary is a second set of services:
//!
//! ```ignore
//! let v1 = Routes::new(ShopServer::new(ShopV1)).prepare();
//! let v2 = Routes::new(ShopServer::new(ShopV2)).prepare();
//!
//! let layer = CanaryLayer::new("shop", v2);
//! let canary = layer.handle();
//! Server::builder().layer(layer).add_routes(v1).serve(address).await?;
//! ```
//!
//! A gRPC call is judged by its status, wherever that is: a failure is a failure although HTTP says 200.
//! Layers of tonic-web go outside.
//!
//! # Anything else
//!
//! The two services need not be routers: any two `Service<Request<B>>` that can be cloned and answer with
//! the same type `Response<B2>` will do, such as two clients of a proxy. If their body types differ, see
//! [`UnifyBody`]. The layer never changes the error type of a service; errors of bodies are boxed.
//!
//! # Who gets the canary, and with what
//!
//! Each call is drawn, unless [policies](select) say otherwise: each user on one channel, testers at weight
//! zero, some paths never. [`Variables`] give the canary a database or a backend of its own. The crate
//! `tower-canary-mirror` sends copies of calls to the canary before it serves any caller.
//!
//! # The life of a request
//!
#![doc = include_str!("../docs/life-of-a-request.md")]
//!
//! # What the canary can do to stable
//!
//! | the canary | the caller gets | counted as | with an option |
//! |---|---|---|---|
//! | answers with an error | that answer | failure | [`fallback`](CanaryOptions::fallback): stable's answer |
//! | panics, in `call`, in its future or its body | 500, or gRPC `INTERNAL`; the connection lives | failure, panicked | `fallback`, up to the head |
//! | is not ready, or fails readiness | stable's answer | spilled | |
//! | hangs | nothing, until it gives up; others notice nothing | cancelled; failure if it was a gRPC deadline | `time_limit`: 504, or gRPC `DEADLINE_EXCEEDED`; failure, timed out; or `fallback` |
//! | has more calls than it can serve | what it does with them | | [`concurrency_limit`](CanaryOptions::concurrency_limit): stable's answer; spilled, shed |
//! | blocks a thread | what one process gets | | `runtime::OnRuntime`: stable's threads are others |
//! | aborts, exhausts memory | what one process gets | see below | none |
//!
//! A canary that hangs is told from callers who lose patience only where the layer knows the time limit:
//! its own, and a gRPC call's own `grpc-timeout` (a call left in the last tenth of it counts as a
//! failure). A limit that is set *outside* the layer, `Server::timeout` of tonic among them, drops calls
//! as callers do. The options `time_limit` and `OnRuntime` need the feature `tokio`.
//!
//! Both channels share a process, and with it the fate of the process: `panic = "abort"`, a deadlock on
//! what both use, or memory that runs out hurt stable as well, whatever the options, and a rollback
//! cannot free a thread that is blocked. What must not be able to do that belongs into a process of its
//! own, as the upstream of a proxy with the canary in it. The guide
//! `docs/what-one-process-cannot-isolate.md` has each fault with its options and what none of them cures.
//!
//! # What a call costs
//!
//! No lock, no cache line that all threads write, and no allocation, but for:
//!
//! - the counts of references of a service that is cloned for each call;
//! - the [`Assignment`] in the request ([`Tags`]), and the growth of a header map;
//! - the first call of a thread after a change of the weight, which makes its counters (6 kB);
//! - a call that waits for a service: for a canary at full weight that is not ready, or for stable where
//!   `poll_ready` did not ask it, as for health checks at full weight;
//! - a response body that has to wait, which registers once, under a lock of its thread's own, so that it
//!   can be closed.
//!
//! The options against a sick canary cost where they are set: a timer for each call of a channel with a
//! time limit, one number that all threads write with a limit of concurrent calls, and with a fallback a
//! copy of the request for each call of the canary that may be repeated. With
//! [classes of routes](RouteClasses) each thread has counters for each of them too, from their first call
//! on. While keys are [watched](control::ControlExt::watch_keys), a sticky call takes a lock for a moment, and
//! once more if it fails.
//!
//! # Features
//!
//! | feature | adds | pulls in |
//! |---|---|---|
//! | `axum` | correct `Router::layer`, `axum::RouterExt`, extractors | axum without its defaults |
//! | `cookie` | [`select`] can issue cookies, signed if you like | cookie, with its cryptography |
//! | `feedback` | receipts, by which calls are rated later ([`feedback`]) | hmac, sha2, base64, as `cookie` |
//! | `metrics` | the module `metrics`, through the facade of that name | metrics |
//! | `tokio` | `CanaryOptions::time_limit`, the module `runtime` | tokio: its timers, tasks and channels |
//! | `tonic` | `NamedService` for [`CanaryService`], `tonic::TonicBody` | tonic, and tokio with it |
//! | `tracing` | a span for every call (target `tower_canary::call::stable` or `::canary`), an event for every change (`tower_canary::control`) | tracing |
//! | `tracing-subscriber` | the module `logs`: a filter by channel, for a log of the canary's own | `tracing`, tracing-subscriber |
//!
//! Without `tokio` and `tonic`, this crate depends on no async runtime.
//!
//! # What it does not do
//!
//! It decides nothing: whether the canary is good, and when to raise its weight, is for whoever holds the
//! handle. It does not balance load, and retries nothing on the channel that failed.

mod config;
pub mod control;
mod counting;
pub mod feedback;
#[doc(hidden)]
pub mod internal;
#[cfg(feature = "tracing-subscriber")]
pub mod logs;
pub mod select;
mod service;
mod variables;

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "tokio")]
pub mod runtime;
#[cfg(feature = "tonic")]
pub mod tonic;

pub use canary_core::{
    AssignmentReason, Bucket, CanaryName, Channel, ChannelCounts, Counts, EpochCounts, EventName,
    InvalidName, Latencies, LatencyBucket, Outcome, ParseWeightError, PerChannel, PerReason,
    Rating, RatingCounts, Ratings, RatingsByWeight, ReleaseId, RouteClass, Snapshot, Weight,
};

pub use self::{
    config::{
        bypass::Bypass,
        classify::{Classification, Classify, HeadClassification, ServerErrors},
        options::CanaryOptions,
        tags::Tags,
    },
    control::{
        drain::Drain,
        handle::{CanaryHandle, Halted, WeakCanaryHandle},
        owner::PromoteError,
        state::SplitMode,
    },
    counting::route_classes::RouteClasses,
    select::propagate::{Propagate, PropagateLayer},
    service::{
        assignment::{Assignment, Attached, Draining},
        canary_service::CanaryService,
        fallback::Fallback,
        layer::CanaryLayer,
        map_body::{BodyMapping, MapBody, MapBodyFuture},
        protocol::Protocol,
        replay::ReplayBody,
        response_body::ResponseBody,
        response_future::ResponseFuture,
        unify_body::{ToUnifiedBody, UnifiedBody, UnifyBody},
    },
    variables::{InvalidVariables, TypedVariables, Variables},
};
