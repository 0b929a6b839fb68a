//! The path of a mirrored request: [`stable_call`] captures a call of stable, [`exchange`] sends
//! the copies as [`shadow_call`]s and compares the responses.

pub(crate) mod budget;
pub(crate) mod capture;
pub(crate) mod exchange;
pub(crate) mod in_flight;
pub(crate) mod shadow_call;
#[cfg(feature = "tracing")]
pub(crate) mod span;
pub(crate) mod stable_call;
pub(crate) mod tap;
