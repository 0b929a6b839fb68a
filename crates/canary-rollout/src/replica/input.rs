use std::time::Duration;

use canary_core::Weight;

use super::{CommandId, ReplicaId};
use crate::{
    actor::Actor, command::order::Order, event::EventId, plan::definition::Plan, rollout::Rollout,
    tick::input::Tick, timestamp::Timestamp,
};

/// The present time, and a random number.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the driver constructs it")]
pub struct Moment {
    /// The time of day, for the rollout.
    pub at: Timestamp,
    /// The time since the start of the process, on a clock that does not jump. It measures the
    /// silence of other drivers.
    pub uptime: Duration,
    /// A random number, another one at each time. It identifies a document that is created now.
    pub random: u64,
}

/// Something that has happened to a replica.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "another input would be a breaking change")]
pub enum Input {
    /// The regular tick of this process.
    Tick {
        /// The observations since the last tick.
        tick: Box<Tick>,
        /// The finding of the guard, if it has tripped.
        trip: Option<String>,
    },
    /// A tick was left out, because the replica [is quiet](super::Replica::is_quiet). A driver saves its
    /// evidence if a beat is due.
    Beat,
    /// A command was given to this replica.
    Command {
        /// The id, for the reply.
        id: CommandId,
        /// The command.
        order: Order,
        /// The latest event that its author has seen, if the command depends on it.
        seen: Option<EventId>,
    },
    /// A new plan was given to this replica.
    Plan {
        /// The id, for the reply.
        id: CommandId,
        /// The plan.
        plan: Box<Plan>,
        /// The author.
        by: Actor,
        /// The reason; it may be empty.
        reason: String,
        /// The event that its author has seen as the latest, if the plan depends on it.
        seen: Option<EventId>,
    },
    /// The data plane of this process was observed.
    DataPlane(DataPlane),
    /// The process is about to stop. The rollout is saved once more if this replica drives it.
    Stop,
    /// A watch has reported that the stored rollout is another one.
    StoreChanged,
    /// The stored evidence has changed, and names this driver.
    EvidenceSeen(Option<ReplicaId>),
    /// The result of [`Output::Load`](super::Output::Load), or the reason of the failure.
    Loaded(Result<Loaded, String>),
    /// The stored rollout could not be loaded, and this is the one that was last in force on this
    /// machine. It is in force until the stored one is loaded, and nothing advances it. A rollback or
    /// halt in it that was never stored is then repeated.
    Copy(Box<Rollout>),
    /// The result of [`Output::Swap`](super::Output::Swap).
    Swapped(Swapped),
    /// The result of [`Output::SwapEvidence`](super::Output::SwapEvidence).
    EvidenceSwapped(EvidenceSwapped),
}

/// The weight and the mode of a data plane.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the driver constructs it")]
pub struct DataPlane {
    /// The weight.
    pub weight: Weight,
    /// The weight that the driver has last set.
    pub applied: Weight,
    /// The mode.
    pub mode: Mode,
}

/// The mode of a data plane.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the cases are complete")]
pub enum Mode {
    /// Calls are split by the weight.
    Splitting,
    /// The canary serves all calls.
    Promoted,
    /// Stable serves all calls until the halt is lifted.
    Halted {
        /// The reason.
        reason: String,
    },
}

/// The result of a load.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the cases are complete")]
pub enum Loaded {
    /// The stored rollout is the one that was last loaded or saved.
    Unchanged,
    /// Another rollout is stored.
    Found(Box<Rollout>),
    /// No rollout is stored.
    Absent,
}

/// The result of a swap, which expects the rollout that was last loaded or saved.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the cases are complete")]
pub enum Swapped {
    /// The rollout is stored.
    Saved,
    /// The rollout was stored, and another replica has since replaced it by this one.
    Replaced(Box<Rollout>),
    /// The rollout was not stored, because this one is, or none.
    Conflict(Option<Box<Rollout>>),
    /// Nothing was stored, because the evidence has changed and names this driver.
    Deposed(Option<ReplicaId>),
    /// The rollout was not stored, for this reason.
    Failed(String),
    /// The store did not report whether the rollout is stored, for this reason.
    Unknown(String),
}

/// The result of a swap of the evidence.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the cases are complete")]
pub enum EvidenceSwapped {
    /// The evidence is stored, and names this replica.
    Done,
    /// The evidence has changed, and names this driver.
    Conflict(Option<ReplicaId>),
    /// The evidence was not stored, for this reason. A later swap may succeed.
    Failed(String),
    /// The evidence can never be stored. This replica drives the rollout nevertheless.
    Impossible,
}
