//! Drives canary rollouts: probes the canary, asks gates, tells people what happens.
//!
//! | module | what it does |
//! |---|---|
//! | [`probe`] | runs a plan's probes against the canary service itself |
//! | [`gate`] | asks a plan's gates |
//! | [`notify`] | tells a plan's receivers what happens |
//! | [`webhook`] | the signed `POST` that gates and notices share |
//!
//! What receivers of webhooks get, and how they check that it is ours, is told in the
//! [guide](webhook::guide).
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `axum` | `ProbeTarget::router`: probes of an axum `Router` |
//! | `tonic` | `ProbeTarget::routes`, and gRPC health probes |
//! | `webhook` | `HttpTransport`: webhooks, and probes of a URL, over http and https |
pub mod gate;
pub mod notify;
pub mod probe;
pub mod webhook;

mod body;
mod errors;
mod isolated;
mod text;
mod unmet;

pub use self::unmet::{Need, Unmet};

/// An error of a service or a transport, whatever it is.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

const USER_AGENT: &str = concat!("canary-controller/", env!("CARGO_PKG_VERSION"));
