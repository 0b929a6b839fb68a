//! Runs canary rollouts, from the first calls to the promotion or the rollback.
//!
//! Once a second, a [`Controller`] reads the counts of the data plane (`tower-canary`), asks the
//! judge (`canary-analysis`), lets the plan's state machine (`canary-rollout`) decide, stores the
//! result, and sets the weight. Operators and programs give commands through a [`RolloutHandle`].
//!
//! ```
//! use canary_controller::{Controller, Managed, Plan, store::MemoryStore};
//! use tower_canary::{CanaryLayer, CanaryOptions};
//!
//! # let v2 = tower::service_fn(|_: http::Request<()>| async {
//! #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
//! # });
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let options = CanaryOptions::new().stable_release("v1.9.2").canary_release("v2.0.0");
//! let layer = CanaryLayer::with_options("shop", v2, options);
//! let plan = Plan::from_toml(r#"steps = [{ weight = "1%" }, { weight = "10%" }]"#)?;
//! let controller = Controller::new(MemoryStore::new());
//! controller.add(Managed::new(layer.handle(), plan).auto_start())?;
//! // let app = v1.layer(layer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A service depends on this crate and on `tower-canary`. The types of the other crates that appear
//! in signatures are re-exported here: the most used ones at the root, all others in [`rollout`]
//! and [`analysis`].
//!
//! # Commands
//!
//! [`Controller::add`] returns a handle for commands and for the status:
//!
//! ```
//! use canary_controller::{Actor, Controller, Managed, Phase, Plan, store::MemoryStore};
//! # use tower_canary::{CanaryLayer, CanaryOptions};
//!
//! # let v2 = tower::service_fn(|_: http::Request<()>| async {
//! #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
//! # });
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let options = CanaryOptions::new().stable_release("v1.9.2").canary_release("v2.0.0");
//! # let layer = CanaryLayer::with_options("shop", v2, options);
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
//! let controller = Controller::new(MemoryStore::new()); // a FileStore survives the process
//! let rollout = controller.add(Managed::new(layer.handle(), plan))?;
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
//! # Guarantees
//!
//! - **A rollback is immediate.** The judge's guard runs on the thread of the failing call and
//!   rolls the canary back there. A rollback or halt by an operator takes effect before it is
//!   queued or stored, and stops an increase that is in progress.
//! - **The weight is raised only after the increase is stored.** Actions that lower the weight come
//!   before the save, actions that raise it come after. During an outage of the store, the weight
//!   stays or falls.
//! - **The judge keeps working** during gates, approvals and pauses, and can roll back at any time.
//! - **If the controller stops, the split keeps its weight.** The guard still works, and the metric
//!   `canary_decision_age_seconds` grows.
//!
//! # When the store fails
//!
//! The [status](Status::store_failures) has each operation on the store that fails, with the document, the
//! error and the time, and its summary names the first. The log has a line when an operation begins to
//! fail, at most one per minute after that, and one when it works again. The feature `metrics` has
//! `canary_store_failing`. A document that is not a rollout is never replaced, and the rollout in force
//! stays. A process that has never loaded the rollout keeps the weight at zero, and does not show it as
//! idle.
//!
//! # Who owns the weight
//!
#![doc = include_str!("../docs/who-owns-the-weight.md")]
//!
//! # Inputs of the judge
//!
//! The judge observes all calls, the route classes that the plan's monitors name, feedback and
//! events, and, for monitors per key, the keys of calls and of failures. [`Controller::add`]
//! refuses a plan that needs counts that the layer does not keep.
//!
//! The process that [drives](Status::is_driving) the rollout judges the calls of all processes, see
//! [`rollout::fleet`], and for monitors per key the union of their keys, see
//! [`rollout::fleet::keys`]. The state of the judge and the counted keys are stored in one document of
//! at most 128 KiB, and survive a restart. If there are too many keys, only a sample of them is stored,
//! and only keys of the sample are counted from then on. A process that replaces the driver continues
//! with that evidence.
//!
//! The history has the findings behind each decision, and the state of the judge if it fits:
//! [`RolloutHandle::decision`] lets the judge repeat its judgment.
//!
//! # Modules for plans
//!
//! | module | content |
//! |---|---|
//! | [`probe`] | runs the plan's probes against the canary |
//! | [`gate`] | asks the plan's gates |
//! | [`notify`] | sends notifications to the plan's receivers |
//! | [`webhook`] | signed `POST` requests, for gates and notifications |
//! | [`store`] | keeps the state, and defines the contract for your own stores |
//!
//! The [webhook guide](webhook::guide) shows the requests, and how receivers verify them.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `axum` | `ProbeTarget::router`: probes of an axum `Router` |
//! | `metrics` | the module `metrics`: the state of rollouts for the `metrics` facade |
//! | `tonic` | `ProbeTarget::routes`, and gRPC health probes |
//! | `webhook` | `HttpTransport`: webhooks, and probes of a URL, over HTTP and HTTPS |
//! | `store-testing` | the conformance suite for stores, and a store that fails on demand |
//!
//! # Several processes
//!
//! Run each canary with only one controller per process: a controller
//! [claims](tower_canary::control::ControlExt::claim) the canary and sets its
//! [`on_canary_failure`](tower_canary::control::ControlExt::on_canary_failure) hook.
//!
//! Controllers of several processes can share a store. One of them drives the rollout: it judges,
//! advances the plan, runs the probes and asks the gates. The others apply the weight, show the same
//! status, and accept commands. If the driver is silent for six to eight seconds, another process
//! replaces it, see [`rollout::replica`]. A controller that is [stopped](Controller::stop) is replaced
//! at once.
//!
//! All of them publish the counts of their calls in the store, and the driver judges the sum, see
//! [`rollout::fleet`]. A new process waits with [`Controller::ready`] for the weight of the others.

mod body;
mod bounded_text;
mod clock;
mod command_error;
mod compact;
mod controller;
mod decision;
mod driver;
mod effects;
mod error_chain;
mod evidence_sources;
pub mod gate;
mod handle;
mod history;
mod isolated;
mod managed;
#[cfg(feature = "metrics")]
pub mod metrics;
mod monitors;
pub mod notify;
mod or_list;
pub mod probe;
mod requirements;
mod rollouts;
mod status;
pub mod store;
mod viewers;
pub mod webhook;
mod weight_lock;

#[doc = include_str!("../docs/next-release.md")]
pub mod next_release {}

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
    command_error::CommandError,
    controller::{AddError, Controller},
    decision::Decision,
    evidence_sources::EvidenceSources,
    handle::RolloutHandle,
    managed::Managed,
    requirements::{Requirement, Unmet},
    rollouts::Rollouts,
    status::Status,
    viewers::Viewer,
};

/// Any error of a service or a transport.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

const USER_AGENT: &str = concat!("canary-controller/", env!("CARGO_PKG_VERSION"));
