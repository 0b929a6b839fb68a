//! The names of commands, and the errors of refused commands.

mod name;
pub(crate) mod order;
mod refusal;

pub use self::{
    name::{CommandName, UnknownCommand},
    refusal::{PlanInUse, Refusal, RefusalReason},
};
