//! In-process canary releases: a [Tower](tower_layer) middleware for axum and tonic.
//!
//! A [`CanaryLayer`] adds a new version of a service, the *canary*, to the version it is applied
//! to, *stable*. It sends each call to one of them by a weight, and counts the outcomes of both.
//! The [`CanaryHandle`] changes the weight at run time, from 0.0001 % up, promotes the canary or
//! rolls it back. No service mesh, gateway or second deployment is needed.
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
//! let layer = CanaryLayer::new("shop", v2); // The weight is zero: no call reaches v2.
//! let canary = layer.handle(); // Clone it to where you control the weight.
//! let app: Router = v1.layer(layer);
//! // axum::serve(listener, app.into_make_service()).await?;
//!
//! canary.set_weight("0.1%".parse()?)?; // Applies to the next call, on every thread.
//! canary.promote()?; // v2 serves every call.
//! canary.roll_back(); // v1 serves every call.
//! # let _ = app;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "axum"))]
//! # fn main() {}
//! ```
//!
//! The module `axum` compares other places for the layer. Health checks and metrics
//! [bypass](Bypass) the canary.
//!
//! # tonic
//!
//! The layer goes on the server. The canary is a second set of services:
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
//! The outcome of a gRPC call is its `grpc-status`, in the head or in the trailers. Apply layers of
//! tonic-web outside the canary layer.
//!
//! # Other services
//!
//! The layer takes any two `Service<Request<B>>` that implement `Clone` and have the same response
//! type `Response<B2>`, such as two clients of a proxy. [`UnifyBody`](body::UnifyBody) gives two
//! services the same body type. The layer does not change the error type of a service; errors of
//! response bodies are boxed. [`CanaryLayer::boxed`] also keeps the type of response bodies, as tower's
//! `option_layer` requires.
//!
//! # Options
//!
//! [`CanaryOptions`] lists all options and their defaults. [Policies](select) assign calls by their
//! content: each user stays on one channel, testers get the canary at weight zero, some paths never
//! get it. [`Variables`] configure the channels differently. The crate `tower-canary-mirror` sends
//! copies of calls to the canary before it serves any caller.
//!
//! # The life of a request
//!
#![doc = include_str!("../docs/life-of-a-request.md")]
//!
//! # Failures of the canary
//!
//! | the canary | the caller gets | counted as | with an option |
//! |---|---|---|---|
//! | responds with an error | that response | failure | [`fallback`](CanaryOptions::fallback): the response of stable |
//! | panics in `call`, in its future or its body | 500, or gRPC `INTERNAL`; the connection stays open | failure, panicked | `fallback`, before the response head |
//! | is not ready, or fails in `poll_ready` | the response of stable | spilled | |
//! | breaks its response: a body shorter than its `content-length`, a status below 200 | what the server makes of it | failure | `fallback`, if the head shows it |
//! | hangs | nothing until the caller gives up | cancelled; failure if a gRPC deadline passed | `time_limit`: 504, or gRPC `DEADLINE_EXCEEDED`, or `fallback`; failure, timed out |
//! | is overloaded | a late response | its outcome | [`concurrency_limit`](CanaryOptions::concurrency_limit): the response of stable; spilled and shed, which does not count against the canary |
//! | blocks a thread | nothing until the thread is free | cancelled | `runtime::OnRuntime`: stable keeps its own threads |
//! | aborts or exhausts memory | a broken connection: the process ends for both channels | | none |
//!
//! The layer can only recognize a hanging canary by a deadline that it knows: the `time_limit`, and
//! the `grpc-timeout` of a call. (A gRPC caller that leaves in the last tenth of its timeout counts
//! as a failure, if stable usually responds in that time.) A timeout outside of the layer, such as `Server::timeout` of tonic, cancels the
//! call like a caller who leaves. `time_limit` and `OnRuntime` need the feature `tokio`.
//!
//! Both channels share one process. `panic = "abort"`, a deadlock on a shared resource, and
//! exhausted memory affect stable too, with any options, and a rollback cannot free a blocked
//! thread. Run a canary that must not do this in its own process, behind a proxy that has the
//! layer. The guide `docs/what-one-process-cannot-isolate.md` lists each fault, the option for it,
//! and its limits.
//!
//! # Cost of a call
//!
//! A call takes no lock, writes no cache line that threads share, and allocates nothing, except
//! for:
//!
//! - the reference counts of a service that is cloned for each call;
//! - the [`Assignment`] in the request ([`Tags`]), and the growth of a header map;
//! - the first call of a thread after a change of the weight, which allocates its counters (6 kB);
//! - a call that waits for a service to be ready: for the canary at full weight, or for stable if
//!   `poll_ready` did not poll it, as for health checks at full weight;
//! - a request body of axum or tonic, unless the head shows that there is none, which allocates
//!   twice and takes a lock of its own. gRPC is taken to have a body;
//! - the first `OK` of a gRPC service, which allocates 8 kB;
//! - a response body that has to wait, which takes a lock of its thread once, to register for
//!   [`Drain::close`].
//!
//! Options add to that only where they are set: a time limit needs a timer for each call of its
//! channel, a concurrency limit needs a counter that all threads write, and a fallback copies the
//! requests that may be repeated. [Route classes](RouteClasses) need counters per thread and class.
//! While keys are [watched](control::ControlExt::watch_keys), a sticky call takes a lock, and a
//! second one if it fails.
//!
//! # Features
//!
//! | feature | adds | dependencies |
//! |---|---|---|
//! | `axum` | correct `Router::layer`, `axum::RouterExt`, extractors | axum without its default features |
//! | `cookie` | cookies that [`select`] issues, optionally signed | cookie, with its cryptography |
//! | `feedback` | receipts for ratings after the response ([`feedback`]) | hmac, sha2, base64 |
//! | `metrics` | the module `metrics`, for the `metrics` facade | metrics |
//! | `tokio` | `CanaryOptions::time_limit`, the module `runtime` | tokio: timers, tasks and channels |
//! | `tonic` | `NamedService` for [`CanaryService`], `tonic::TonicBody` | tonic, which needs tokio |
//! | `tracing` | a span for each call (target `tower_canary::call::stable` or `::canary`), an event for each change (`tower_canary::control`) | tracing |
//! | `tracing-subscriber` | the module `logs`: a filter by channel, for a separate log of the canary | `tracing`, tracing-subscriber |
//!
//! Without `tokio` and `tonic`, this crate depends on no async runtime.
//!
//! # What it does not do
//!
//! It makes no decisions. The holder of the handle decides whether the canary is good, and when to
//! change its weight; the crate `canary-controller` can do so by a plan. It does not balance load,
//! and it does not retry on the channel that failed.

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
    AssignmentReason, Bucket, CanaryName, Channel, EventName, InvalidName, ParseWeightError,
    PerChannel, Rating, ReleaseId, RouteClass, Weight,
};

pub use self::{
    config::{bypass::Bypass, options::CanaryOptions, tags::Tags},
    control::{
        drain::Drain,
        error::{Halted, PromoteError},
        handle::{CanaryHandle, WeakCanaryHandle},
        state::SplitMode,
    },
    counting::route_classes::RouteClasses,
    select::propagate::{Propagate, PropagateLayer},
    service::{
        assignment::Assignment,
        boxed::{BoxedCanaryLayer, BoxedCanaryService},
        canary_service::CanaryService,
        fallback::Fallback,
        layer::CanaryLayer,
    },
    variables::{InvalidVariables, TypedVariables, Variables},
};

pub mod body {
    //! Response and request bodies, and services that map them.

    pub use crate::service::{
        erased_body::{ErasedBody, ToErasedBody},
        map_body::{BodyMapping, MapBody},
        replay::ReplayBody,
        response_body::ResponseBody,
        unify_body::{ToUnifiedBody, UnifiedBody, UnifyBody},
    };
}

pub mod classify {
    //! Classification of responses as successes and failures.

    pub use crate::{
        config::classify::{Classification, Classify, HeadClassification, ServerErrors},
        service::protocol::Protocol,
    };
}

pub mod counts {
    //! The counts that [`CanaryHandle::counts`](crate::CanaryHandle::counts) returns.

    pub use canary_core::{
        Age, ChannelCounts, Counts, EpochCounts, Latencies, LatencyBucket, Outcome, PerAge,
        PerReason, RatingCounts, Ratings, RatingsByWeight, Snapshot,
    };
}

pub mod future {
    //! Named futures.

    pub use crate::service::{
        assignment::{Attached, Draining},
        map_body::MapBodyFuture,
        response_future::ResponseFuture,
    };
}
