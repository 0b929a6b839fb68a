//! The data of a [`State`](crate::State): the stage of the plan, its progress, and the reasons for
//! pauses, rollbacks and promotions.

pub(crate) mod phase;
mod progress;
mod reason;

pub use self::{
    progress::{GateState, ProbeState, Progress, Stage},
    reason::{Deadline, PauseReason, PromotionBasis, RollbackReason, StoreLoss},
};
