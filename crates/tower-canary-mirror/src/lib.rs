//! Traffic mirroring (shadowing) for axum and tonic: sends copies of stable's requests to the
//! canary and compares the responses.
//!
//! Callers get stable's responses. The canary's response is discarded.
//!
//! # axum
//!
//! ```
//! # #[cfg(feature = "axum")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, routing::get};
//! use tower_canary_mirror::MirrorLayer;
//!
//! let v1 = Router::new().route("/products/{id}", get(|| async { "one" }));
//! let v2 = Router::new().route("/products/{id}", get(|| async { "two" }));
//!
//! let layer = MirrorLayer::new("shop", v2);
//! let mirror = layer.handle();
//! let app: Router = v1.layer(layer);
//! // axum::serve(listener, app.into_make_service()).await?;
//!
//! mirror.set_share("1%".parse()?); // the initial share is zero
//! println!("{:?}", mirror.counts());
//! for difference in mirror.differences() {
//!     println!("{difference:?}");
//! }
//! # let _ = app;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "axum"))]
//! # fn main() {}
//! ```
//!
//! # tonic
//!
//! All gRPC requests are POST, so the methods to mirror must be named:
//!
//! ```no_run
//! # #[cfg(feature = "tonic")]
//! # async fn serve(
//! #     v1: tonic::service::Routes,
//! #     v2: tonic::service::Routes,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use tonic::transport::Server;
//! use tower_canary::{Weight, select::Condition};
//! use tower_canary_mirror::{MirrorLayer, MirrorOptions};
//!
//! let reads = Condition::path("/shop.Catalog/Get").or(Condition::path("/shop.Catalog/List"));
//! let options = MirrorOptions::new().share(Weight::from_percent(1)).only(reads);
//! let layer = MirrorLayer::with_options("catalog", v2, options);
//! let mirror = layer.handle();
//! Server::builder().layer(layer).add_routes(v1).serve("[::1]:50051".parse()?).await?;
//! # let _ = mirror;
//! # Ok(())
//! # }
//! ```
//!
#![doc = include_str!("../docs/guide.md")]
//!
//! # Features
//!
//! All features are off by default.
//!
//! | feature | adds |
//! |---|---|
//! | `axum` | axum routers as canaries, [`ErasedBody`] for axum's body |
//! | `metrics` | the module `metrics`: counts for the `metrics` facade |
//! | `tonic` | [`ErasedBody`] for tonic's body |
//! | `tracing` | a span for each mirrored request |

mod compare;
mod copy;
mod findings;
mod framing;
mod handle;
mod layer;
#[cfg(feature = "metrics")]
pub mod metrics;
mod mirror;
mod mirrored;
mod options;
mod service;
mod target;
mod valid;

pub use tower_canary::body::ErasedBody;

pub use self::{
    compare::{
        by_field::ByField,
        captured_response::CapturedResponse,
        comparison::{Compare, Comparison, FieldDifference},
        field_path::{FieldPath, InvalidFieldPath},
    },
    findings::{
        counts::{DropCounts, DropReason, MirrorCounts, NoiseCounts},
        difference::Difference,
        field_counts::FieldCounts,
    },
    handle::MirrorHandle,
    layer::MirrorLayer,
    mirrored::Mirrored,
    options::MirrorOptions,
    service::{MirrorFuture, MirrorService},
};
