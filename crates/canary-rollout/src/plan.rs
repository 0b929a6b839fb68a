//! The parts of a [`Plan`](crate::Plan), its presets, and the errors of plan files.
//!
//! The [guide](crate::guide) explains every field of a plan file.

mod at_most;
mod calendar;
mod check;
pub(crate) mod definition;
mod draft;
mod error;
mod gate;
mod monitor;
mod policy;
mod preset;
mod probe;
mod ramp;
mod reading;
pub(crate) mod redact;
#[cfg(test)]
mod schema;
mod source;
mod step;
pub(crate) mod stored;
mod wording;

pub use self::{
    at_most::AtMost,
    calendar::Calendar,
    error::{PlanError, PlanFault},
    gate::{Gate, GateKind, NotifyFormat, NotifyTarget, OnRejected, Webhook},
    monitor::{
        AlwaysWatched, ExcessSpec, MarginsSpec, MeasureSpec, MonitorSpec, SlowerThan,
        SlowerThanStable,
    },
    policy::{OnDegraded, OnInconclusive, RampDown, SecondProofSpec, SecondProofValues},
    preset::{Preset, UnknownPreset},
    probe::{GrpcHealthProbe, HttpProbe, Probe, ProbeKind},
    step::{AdvanceWhen, Bake, Start, Step},
};
