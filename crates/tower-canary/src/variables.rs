//! Variables: named configuration values, some of which the canary overrides.

pub(crate) mod error;
pub(crate) mod sets;
pub(crate) mod typed;
pub(crate) mod values;

pub use self::{error::InvalidVariables, typed::TypedVariables, values::Variables};
