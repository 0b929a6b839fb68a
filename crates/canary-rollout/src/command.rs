//! The names of commands, and the reasons for which a rollout refuses them.

mod name;
pub(crate) mod order;
mod refusal;

pub use self::{
    name::{CommandName, UnknownCommand},
    refusal::{PlanInUse, Refusal, RefusalReason},
};
