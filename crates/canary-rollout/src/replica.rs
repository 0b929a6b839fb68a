//! One replica's copy of a rollout, and its relation to the stored one.
//!
//! Any number of replicas share a rollout through a store that can compare and swap a document. A
//! [`Replica`] is the state machine of one of them. It does no I/O: the driver passes it each
//! [`Input`], carries out the returned [`Output`]s in order, and passes the result of each request to
//! the store as the next input.
//!
//! ```text
//!   tick, command, data plane, watch          results of the store
//!                      |                           |
//!                      +-------> Replica <---------+
//!                                   |
//!         load, swap, swap evidence, apply, enforce, reply, emit
//! ```
//!
//! # The store
//!
//! [`StoreState`] is what a replica knows about the stored rollout:
//!
//! | state | meaning | on the next tick |
//! |---|---|---|
//! | `Loading` | The rollout is not loaded. The weight does not change. | load |
//! | `InSync` | The rollout in force is the stored one. | save if the tick changes something |
//! | `Behind` | A watch has reported another stored rollout. | load, and follow it |
//! | `Dirty` | The latest save failed, or the document is gone. | load, and save |
//! | `InDoubt` | The store did not report whether it saved a raise, which is not in force. | load, and save |
//!
//! Actions that lower the weight are carried out before any request. Actions that raise it are
//! carried out only after the rollout is stored. If another replica has stored a rollout in the
//! meantime, the replica takes it over, and applies the tick or command to it. Changes that were in
//! force here and are not part of it are applied to it again if they lower the weight, and all their
//! events are recorded in it.
//!
//! # One driver
//!
//! While a rollout is in progress, one replica *drives* it: it judges, ticks, runs the probes and
//! asks the gates. Its name is in the document of the evidence, which only compare-and-swap changes,
//! and which the driver saves at least every [`BEAT`]. A replica that has seen the document
//! unchanged for three beats, on its own clock, replaces the driver. It needs no lease and no common
//! clock: the swap of the previous driver conflicts. The new driver saves the rollout too, so that a
//! save of the previous driver that is still on its way conflicts as well. The plan goes on with its
//! next tick, which counts the time of the change and the calls of the [fleet](crate::fleet) in it.
//!
//! The replica that starts a rollout drives it. Every replica accepts commands.
//!
//! # Builds
//!
//! Only the driver decides which releases and which plan the rollout has. A replica of a new build
//! waits at weight zero while another build drives the rollout, unless it is told to start. A
//! replica of an earlier build waits for a start in any case, see [`Relation`](crate::Relation).

mod build;
mod command;
mod finish;
mod follow;
mod input;
mod job;
mod machine;
mod merge;
mod output;
mod quiet;
mod save;
mod seat;
mod store_state;
mod tick;

pub use self::{
    build::Build,
    input::{DataPlane, EvidenceSwapped, Input, Loaded, Mode, Moment, Swapped},
    machine::Replica,
    output::{CommandFailure, CommandId, EvidenceOrder, Output},
    seat::{BEAT, ReplicaId},
    store_state::StoreState,
};
