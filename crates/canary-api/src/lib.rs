//! The types of the canary admin API, as they go over the wire.
//!
//! `canary-admin` serves the API, and `canaryctl` and the dashboard use it. A program that steers
//! rollouts over HTTP needs this crate only.
//!
//! | resource | type |
//! |---|---|
//! | `GET session` | [`Session`]: who the caller is, and what it may do |
//! | `GET canaries` | [`CanaryView`] of each canary |
//! | `GET canaries/{canary}` | [`CanaryView`]; its `ETag` is the [`EventId`] of the latest event |
//! | `GET canaries/{canary}/events` | [`EventView`]s, as a page or as server-sent events ([`StreamItem`]) |
//! | `GET canaries/{canary}/points` | [`Points`], for charts |
//! | `POST canaries/{canary}/commands` | [`CommandRequest`], and [`CommandResponse`] or [`PreviewView`] |
//! | `GET`, `PATCH canaries/{canary}/variables` | [`VariablesView`], [`VariablesRequest`] |
//! | `GET`, `PUT canaries/{canary}/plan` | [`PlanView`], [`PlanRequest`] |
//! | `POST plans/check` | [`PlanCheckRequest`], [`PlanCheck`] |
//! | `POST canaries/{canary}/drain` | [`DrainRequest`], [`DrainResponse`] |
//!
//! Every error is a [`Problem`] (RFC 9457).
//!
//! The feature `client` adds the module [`client`], and the feature `openapi` adds the schemas of
//! all types for an `OpenAPI` document.
//!
//! # Compatibility
//!
//! A client ignores fields that it does not know, and reads unknown values of an enum as `Unknown`.
//! A server can therefore be newer than its clients. A request with an unknown field is refused,
//! because the caller expects an effect that it would not have.
//!
//! # Units
//!
//! A weight is a text such as `"0.1%"`. A time is a text such as `"2026-11-24T09:00:00Z"`. Durations
//! end in `_s` or `_ms` and are numbers. Rates and shares are fractions, `0.0..=1.0`.

#![expect(clippy::exhaustive_structs, reason = "the server creates these types field by field")]

mod canary;
mod channel;
#[cfg(feature = "client")]
pub mod client;
mod command;
mod event;
mod finding;
mod plan;
mod points;
mod problem;
mod session;
mod variables;

pub use self::{
    canary::{
        CanaryView, DriverView, FleetView, GateState, GateView, MirrorView, Offer, OutlookView,
        Phase, StageKind, StageState, StageView, StorageView, StoreFailureView, WaitView,
    },
    channel::{ChannelName, ChannelView, PerChannel},
    command::{
        Command, CommandName, CommandRequest, CommandResponse, DrainRequest, DrainResponse,
        PreviewView,
    },
    event::{Actor, ActorKind, EventId, EventView, StreamItem},
    finding::{EvidenceView, FindingView, JudgmentView, RatioView, Verdict},
    plan::{
        ForecastStep, PlanCheck, PlanCheckRequest, PlanFault, PlanForecast, PlanFormat,
        PlanRequest, PlanView,
    },
    points::{FindingColumns, Points},
    problem::Problem,
    session::{Environment, Operator, Role, Session},
    variables::{VariableMap, VariablesRequest, VariablesView},
};
