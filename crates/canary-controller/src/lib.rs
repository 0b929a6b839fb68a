//! Runs canary rollouts: from 0.1 % to promoted by itself, and back in time.
//!
//! A [`Controller`] joins what the other crates hold apart. Once a second it reads what the data plane
//! (`tower-canary`) has counted, asks the judge (`canary-analysis`), lets the plan and its state machine
//! (`canary-rollout`) decide, stores what came of that, and sets the weight. People and programs give
//! commands through a [`RolloutHandle`].
//!
//! ```
//! use canary_controller::{Actor, Controller, Managed, Phase, Plan, store::MemoryStore};
//! use tower_canary::{CanaryLayer, CanaryOptions};
//!
//! # let v2 = tower::service_fn(|_: http::Request<()>| async {
//! #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
//! # });
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let options = CanaryOptions::new().stable_release("v1.9.2").canary_release("v2.0.0");
//! let layer = CanaryLayer::with_options("shop", v2, options);
//!
//! let plan = Plan::from_toml(
//!     r#"
//!     steps = [
//!         { weight = "0.1%", min_duration = "5m", min_calls = 50 },
//!         { weight = "10%", min_duration = "10m", min_calls = 500 },
//!     ]
//!     monitors = [{ measure = "failures" }, { measure = "share" }]
//!     bake = { duration = "30m" }
//!     "#,
//! )?;
//! let controller = Controller::new(MemoryStore::new()); // or a FileStore, which survives the process
//! let rollout = controller.add(Managed::new(layer.handle(), plan))?;
//! // let app = v1.layer(layer);
//!
//! rollout.start(Actor::person("ada"), "v2 is built").await?;
//! assert_eq!(rollout.status().rollout.phase(), Phase::Running);
//! assert_eq!(layer.handle().weight(), "0.1%".parse()?);
//!
//! rollout.roll_back(Actor::person("ada"), "wrong totals").await?;
//! assert_eq!(rollout.status().summary, "rolled back (by ada: wrong totals)");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//!
//! - **A rollback waits for nobody.** The judge's guard runs on the thread of the call that fails, and
//!   takes the canary back there; a person's rollback or halt takes effect before it is queued or
//!   stored. What would raise the weight meanwhile finds out, and does not.
//! - **Nothing is raised that is not stored.** What lowers the weight comes before the store, what
//!   raises it after. If the store is away, the weight stays or falls.
//! - **The judge keeps working** while a gate, an approval or a pause waits, and rolls back from there.
//! - **If the controller is gone the split keeps its weight**, the guard still works, and the metric
//!   `canary_decision_age_seconds` grows.
//!
//! # Who owns the weight
//!
#![doc = include_str!("../docs/who-owns-the-weight.md")]
//!
//! # What the judge is told
//!
//! All calls, the classes of routes that the plan's monitors name, feedback and events, and for monitors
//! per key which users were seen and which were hit. A plan that asks for what the layer does not count is
//! refused by [`Controller::add`]. Evidence is this process's own, and is stored with the users that were
//! counted, so that a restart goes on with both. They are one document of 16 KiB at most: of many users a
//! sample is stored, and only those are counted afterwards.
//!
//! # What a plan sets off
//!
//! | module | what it does |
//! |---|---|
//! | [`probe`] | runs a plan's probes against the canary service itself |
//! | [`gate`] | asks a plan's gates |
//! | [`notify`] | tells a plan's receivers what happens |
//! | [`webhook`] | the signed `POST` that gates and notices share |
//! | [`store`] | keeps the state, and the contract for those who write a store of their own |
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
//! | `store-testing` | the conformance suite for stores, and a store that fails on demand |
//!
//! # What it takes for itself
//!
//! It sets the hook of [`on_canary_failure`](tower_canary::CanaryHandle::on_canary_failure) of each
//! canary, for the guard. One controller at a time should tick a canary; several that share a store
//! follow each other's commands, but each judges by the counts of its own process.

mod body;
mod bounded_text;
mod clock;
mod controller;
mod driver;
mod effects;
mod error_chain;
pub mod gate;
mod handle;
mod isolated;
mod managed;
mod monitors;
pub mod notify;
mod or_list;
pub mod probe;
mod requirements;
mod status;
pub mod store;
pub mod webhook;
mod weight_lock;

pub use canary_analysis::{self as analysis, Judgment};
pub use canary_core::Verdict;
pub use canary_rollout::{
    self as rollout, Actor, Command, Order, Phase, Plan, Releases, Rollout, State, Timestamp,
    Transition,
    command::{CommandName, Refusal},
    event::Event,
    plan::PlanError,
};

pub use self::{
    clock::Clock,
    controller::{AddError, Controller},
    handle::{CommandError, RolloutHandle},
    managed::Managed,
    requirements::{Requirement, Unmet},
    status::Status,
};

/// An error of a service or a transport, whatever it is.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

const USER_AGENT: &str = concat!("canary-controller/", env!("CARGO_PKG_VERSION"));
