//! The shared state of a canary, and the handle that changes it.

pub(crate) mod drain;
pub(crate) mod drain_signal;
pub(crate) mod epoch;
pub(crate) mod epoch_settings;
pub(crate) mod handle;
pub(crate) mod state;
