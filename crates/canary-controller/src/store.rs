//! Stores for the state of rollouts, so that a rollout survives a restart.
//!
//! A store holds one [`Document`] per [`StoreKey`], replaced and removed only by comparing its
//! revision, and a history of [`EventRecord`]s beside it. The documents of a [`KeyRange`] can be
//! listed. [`StateStore`] is the interface. This crate implements it twice:
//! [`MemoryStore`] and [`FileStore`]. For other engines, implement it in a crate of your own.
//! Stores do not interpret documents; the controller does.
//!
//! ```
//! use std::sync::Arc;
//!
//! use canary_controller::store::{Document, FileStore, StateStore, StoreKey, Swap, WatchEvent};
//!
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let store: Arc<dyn StateStore> = Arc::new(FileStore::open(directory).await?);
//! let key = StoreKey::try_new("prod", &"checkout".parse()?)?;
//! let mut watch = store.watch(&key);
//! assert_eq!(watch.next().await, WatchEvent::Absent);
//!
//! let first = Document::try_new(r#"{"generation":1,"step":1}"#)?;
//! let Swap::Done(revision) = store.compare_and_swap(&key, None, &first).await? else {
//!     panic!("there are no other writers")
//! };
//! let WatchEvent::Value(seen) = watch.next().await else { panic!("the document exists") };
//! assert_eq!((seen.revision, seen.document), (revision.clone(), first));
//!
//! let second = Document::try_new(r#"{"generation":2,"step":2}"#)?;
//! let Swap::Done(_) = store.compare_and_swap(&key, Some(&revision), &second).await? else {
//!     panic!("there are no other writers")
//! };
//! let late = store.compare_and_swap(&key, Some(&revision), &second).await?;
//! assert!(matches!(late, Swap::Conflict(Some(current)) if current.document == second));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees of a store
//!
//! Each guarantee has an id, and the tests name the ids they check. [`MemoryStore`] gives all
//! guarantees except S7. [`FileStore`] gives all of them, and F1 to F9.
//!
//! - **S1, reads are linearizable.** A load sees every swap that was acknowledged before the load
//!   began, through any handle, process or replica.
//! - **S2, creation is exclusive.** A swap that expects no document succeeds only if there is none.
//! - **S3, swaps are exclusive.** A swap succeeds only if the current revision is the expected one.
//!   Of concurrent swaps that expect the same revision, at most one succeeds.
//! - **S4, conflicts return the current document.** A conflict contains the document that was
//!   current when the swap was refused, so that the caller need not load it.
//! - **S5, revisions are unique.** Each swap creates a new revision, even if the bytes are the
//!   same. A revision never identifies a second document, even after the key was deleted and
//!   created again.
//! - **S6, bytes are preserved.** A load returns exactly the stored bytes, up to
//!   [`Document::MAX_LEN`] and [`EventRecord::MAX_LEN`].
//! - **S7, acknowledged writes are durable.** An acknowledged document or event survives every
//!   crash. Before the acknowledgment, readers see the whole write or none of it, never a torn
//!   write.
//! - **S8, errors are definite.** Only [`StoreError::Unknown`] leaves open whether the change was
//!   made or will be made. [`settle()`] resolves it. After any other error nothing was changed.
//! - **S9, a watch starts promptly.** Its first event arrives within 2 s, even if it is only
//!   `Stale`.
//! - **S10, a watch converges.** It eventually returns the latest document. It may skip
//!   intermediate ones. It never goes back to an earlier document and never returns the same one
//!   twice in a row.
//! - **S11, a watch never ends.** When the store becomes unavailable, the watch returns `Stale`
//!   once. When the store is available again, it returns `Fresh`, loads again, and returns the
//!   current state.
//! - **S12, a history is ordered and bounded.** Events are in the order of their acknowledgment,
//!   which is the same for every reader. Each acknowledged event appears at least once, and twice
//!   only if it was appended twice. At least the last [`EventRecord::MIN_KEPT`] events of a key are
//!   kept. Older events are dropped oldest first, so that the size has a bound. Each store
//!   documents its bound.
//! - **S13, keys are independent.** Operations on one key have no effect on any other key.
//! - **S14, corrupt documents are left unchanged.** If the stored bytes are not a document, `load`
//!   and `compare_and_swap` return [`StoreError::Corrupt`] and a watch returns `Stale`. Only an
//!   operator can replace them.
//! - **S15, every call ends.** It returns a result or an error within [`CALL_DEADLINE`].
//! - **S16, lists are complete.** A list contains each document of its range that was acknowledged
//!   before the list began, and none that was removed before, in the order of the keys. Each
//!   document was current at some time during the call. A corrupt document hides no other.
//! - **S17, removals are exclusive.** A removal succeeds only if the current revision is the
//!   expected one. The key then has no document; its history remains.
//! - **S18, a watch delays no call.** Calls of the same handle are answered while the reader of a watch
//!   is busy and does not poll it.
//!
//! A swap and the event that describes it are two writes: a crash between them keeps one and loses
//! the other. Data that must stay consistent belongs in the document.
//!
//! If a store loses data, because a backup is restored or a failover drops acknowledged writes, the
//! guarantees start over from the remaining data, and watches return it. To detect a loss, compare
//! values inside the documents: an incarnation chosen when the key is created, and a generation
//! that each write increments.
//!
//! # Implementing a store
//!
//! Implement [`StateStore`]. Create its [`DocumentWatch`] from a [`WatchSource`], which only loads
//! and waits. Run the conformance suite (feature `store-testing`, module `testing`) against a real
//! engine. Any engine that can compare and swap one key is suitable.
//!
//! Revisions that the engine counts start over when it loses its data or is restored from a backup. Add
//! a random id of the write, and compare it in the swap, so that S5 survives.
//!
//! **etcd.** The crate `canary-store-etcd` implements it. It shows how to use several endpoints, which
//! errors are definite, and why a watch must not be resumed by its revision.
//!
//! **PostgreSQL.** The crate `canary-store-postgres` implements it. It shows how one statement makes each
//! change, how notifications and polling complete each other, and how events get their order.

mod document;
mod error;
mod failure;
mod file;
mod key;
mod memory;
mod revision;
mod settle;
mod state_store;
#[cfg(feature = "store-testing")]
#[expect(clippy::unwrap_used, reason = "the checks are test code")]
pub mod testing;
mod watch;

pub use self::{
    document::{Document, EventRecord, InvalidJson},
    error::{Retry, StoreError},
    failure::{StoreFailure, StoreOperation},
    file::FileStore,
    key::{InvalidPrefix, KeyRange, StoreKey},
    memory::MemoryStore,
    revision::{Listed, Removal, Revision, Swap, Versioned},
    settle::{Settled, settle},
    state_store::{CALL_DEADLINE, StateStore, StoreFuture},
    watch::{DocumentWatch, WatchEvent, WatchSource},
};
