//! Where the state of rollouts lives, so that a restart goes on where it was.
//!
//! A rollout has one [`Document`] under one [`StoreKey`], changed only by compare-and-swap, and a
//! history of [`EventRecord`]s beside it. A [`StateStore`] keeps both. [`MemoryStore`] and [`FileStore`]
//! come with this crate; a fleet uses whatever it runs already, through a store in a crate of its
//! own. Who reads the document, and what follows from it, is the controller's matter.
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
//!     panic!("nobody else has written")
//! };
//! let WatchEvent::Value(seen) = watch.next().await else { panic!("there is a document") };
//! assert_eq!((seen.revision, seen.document), (revision.clone(), first));
//!
//! let second = Document::try_new(r#"{"generation":2,"step":2}"#)?;
//! let Swap::Done(_) = store.compare_and_swap(&key, Some(&revision), &second).await? else {
//!     panic!("nobody else has written")
//! };
//! let late = store.compare_and_swap(&key, Some(&revision), &second).await?;
//! assert!(matches!(late, Swap::Conflict(Some(current)) if current.document == second));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a store promises
//!
//! Each promise has an id, which the tests name. [`MemoryStore`] promises all but S7, [`FileStore`]
//! also F1 to F8.
//!
//! - **S1, reads are current.** A load sees every swap that was acknowledged before it began,
//!   through whichever handle, process or replica.
//! - **S2, creation is exclusive.** A swap that expects no document is made only if there is none.
//! - **S3, swaps are exclusive.** A swap is made only if the revision is the expected one, and of
//!   competing swaps that expect the same, one at most is made.
//! - **S4, a conflict is informed.** It carries what was there when the swap was refused, so that
//!   one can decide anew without a load.
//! - **S5, a revision means one document.** Each swap gives a new one, also if it stores the same
//!   bytes again. It never means another document, not even when the key was deleted and made anew.
//! - **S6, bytes are kept.** What is loaded is what was stored, byte for byte, up to
//!   [`Document::MAX_LEN`] and [`EventRecord::MAX_LEN`].
//! - **S7, acknowledged is durable.** A document or event survives every crash after the call that
//!   stored it returned, and is seen whole or not at all at any point before.
//! - **S8, errors say what is certain.** Only after [`StoreError::Unknown`] may a change have been
//!   made, or be made yet. [`settle()`] finds out.
//! - **S9, a watch speaks up.** Its first event comes within 2 s, if only to say that it is stale.
//! - **S10, a watch converges.** It gives the latest document in the end, and may leave out those
//!   before. It never goes back to an earlier one, and gives none twice in a row.
//! - **S11, a watch never ends.** When the store is away it says `Stale` once; when the store is
//!   back it says `Fresh` and then what there is, read anew.
//! - **S12, a history is ordered and bounded.** Events are in the order in which they were
//!   acknowledged, the same for every reader. An event is there at least once, and twice only if it
//!   was appended twice. The last [`EventRecord::MIN_KEPT`] of a key are kept at least; older ones are
//!   dropped in their order, so that the size has a bound, which the store documents.
//! - **S13, keys are apart.** What is done under one is not seen under another, however similar.
//! - **S14, what is no document is left alone.** If something else is stored under a key, load and
//!   swap say [`StoreError::Corrupt`], a watch `Stale`; nothing replaces it but a person.
//! - **S15, a call ends.** With an answer or an error, within [`CALL_DEADLINE`].
//!
//! A swap and the event that tells of it are two writes: a crash between them leaves the one
//! without the other. What must never be apart belongs into the document.
//!
//! If a store loses data, when a backup is restored or a failover forgets what it acknowledged, all
//! of this begins anew with what it has then, and a watch tells that. Whoever must notice compares
//! what stands in the documents: an incarnation made when the key is created, and a generation that
//! each write raises.
//!
//! # To write a store
//!
//! Implement [`StateStore`]; make its [`DocumentWatch`] of a [`WatchSource`], which has but to load and to
//! wait; and run the suite of the feature `store-testing` (module `testing`) against a real engine.
//! Any engine will do that can compare and swap one key.
//!
//! **etcd.** The revision is the key's `mod_revision`. A swap is a transaction that compares it (0
//! for no document), puts, and otherwise gets: that is the conflict's document. Reads are
//! linearizable unless asked otherwise. A deadline that passes, or a connection that breaks, after
//! a transaction was sent is `Unknown`. The source's `load` remembers the revision of the response,
//! and `changed` watches from the one after it; whatever ends the watch, a compaction too, is an
//! error, and the load that follows makes a new connection. Do not resume a watch by its revision:
//! when the data is lost the revisions begin anew, and a resumed watch stays silent. Ask for
//! keep-alive, or a dead connection is never noticed, but not more often than the server allows,
//! which is 5 s. An event is a key of its own in a range beside `/v1/rollouts`, numbered in the
//! same transaction that puts it.
//!
//! **PostgreSQL.** A row per key, the document as `text`: `jsonb` would not keep the bytes. The
//! revision is drawn from a sequence, lest a row that was deleted and made anew repeats it. A swap
//! is `UPDATE .. WHERE key = $1 AND revision = $2`, or `INSERT .. ON CONFLICT DO NOTHING`; if it
//! changed no row, a select in a new snapshot is the conflict's document. A commit without an
//! answer is `Unknown`. The source listens before it loads, and waits for a notification or 5 s,
//! because notifications are lost while the connection is, and do not pass through a pooler. Read
//! from the primary, with a replica that confirms synchronously if S7 is to outlive a failover.
//! Events are rows with a number from a sequence; insert them under a lock of their key, or a
//! number may become visible after a higher one.

mod document;
mod error;
mod file;
mod key;
mod memory;
mod revision;
mod settle;
mod state_store;
#[cfg(feature = "store-testing")]
#[expect(clippy::unwrap_used, reason = "it is made of tests")]
pub mod testing;
mod watch;

pub use self::{
    document::{Document, EventRecord, InvalidJson},
    error::{Retry, StoreError},
    file::FileStore,
    key::{InvalidPrefix, StoreKey},
    memory::MemoryStore,
    revision::{Revision, Swap, Versioned},
    settle::{Settled, settle},
    state_store::{CALL_DEADLINE, StateStore, StoreFuture},
    watch::{DocumentWatch, WatchEvent, WatchSource},
};
