//! The API for controllers: programs that decide about a canary, such as `canary-controller`.
//!
//! Operators and application code use [`CanaryHandle`](crate::CanaryHandle). A controller also
//! needs the salt of sticky keys, the keys behind the counts, a hook for failures, and a
//! [claim](Owner) on the promotion: it imports [`ControlExt`].

pub(crate) mod callers;
mod control_ext;
pub(crate) mod drain;
pub(crate) mod drain_signal;
pub(crate) mod epoch;
pub(crate) mod epoch_settings;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod owner;
mod ratings;
pub(crate) mod state;
mod variables;

pub use canary_core::KeySample;

pub use self::{callers::Callers, control_ext::ControlExt, owner::Owner};
pub use crate::counting::{
    key_activity::KeyActivity,
    key_watch::{KeyEvent, KeyEvents, KeyRating, KeyWatch},
};
