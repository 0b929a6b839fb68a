use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::{Duration, timeout, timeout_at},
};

use super::directory::Directory;
use crate::{
    BoxError,
    store::{
        CALL_DEADLINE, Document, DocumentWatch, EventRecord, KeyRange, Listed, Removal, Revision,
        StateStore, StoreError, StoreFuture, StoreKey, Swap, Versioned, WatchSource,
    },
};

/// A [`StateStore`] in a directory of a local disk. Processes of one machine may share it.
///
/// # Files
///
/// | file | content |
/// |---|---|
/// | `{key}.json` | The document of a key. `/` in the key is written as `.`: `prod.v1.rollouts.checkout.json`. |
/// | `{key}.events.jsonl` | The latest events of a key, one per line. When full, it is renamed to `{key}.events.1.jsonl`. |
/// | `canary.lock` | The lock that writers hold. Never delete it while a process uses the directory. |
/// | `{key}.json.tmp` | A write in progress, or the remains of one after a crash. The next write removes it. |
///
/// Only the owner can read the files. They can be read and copied at any time. A document can be
/// edited while no process uses the directory. The events of a key take at most 4 MiB.
///
/// # Guarantees
///
/// - **F1** A document is replaced atomically: written to a temporary file, synced, and renamed;
///   then the directory is synced. A process killed at any point leaves the old document or the new
///   one.
/// - **F2** An event is one line. A torn line at the end of a file is ignored, and the next append
///   removes it. All earlier lines are complete.
/// - **F3** The lock is an operating system lock. It is released however its process ends.
/// - **F4** Temporary files left by a crash are removed when the directory is opened, and by the
///   next write.
/// - **F5** Files are created with mode 0600. A created directory has mode 0700.
/// - **F6** A file that does not hold a document is left unchanged, and every call returns
///   [`Corrupt`](StoreError::Corrupt).
/// - **F7** If the directory disappears, because it was deleted or its disk was unmounted, calls
///   return [`Unavailable`](StoreError::Unavailable). An empty mount point does not count as a
///   missing document.
/// - **F8** A call ends within 2 s even if a stopped process holds the lock or the disk hangs.
///   Calls that hang occupy at most four threads for reading and one for writing.
/// - **F9** A symbolic link, a pipe or a device in place of a file is
///   [`Refused`](StoreError::Refused), and so is an append to a file that has hard links. A read
///   takes at most 2 MiB of a file, whatever its size.
///
/// After a power failure, F1 and F2 hold as far as the disk honors `fsync`. Readers can see a
/// document before it is synced and acknowledged. If its writer is killed at that moment, the next
/// write or open syncs it.
///
/// # Other users
///
/// The store believes what its files say, so only its own user should be able to change them. If the
/// directory or a file belongs to another user than this process or the superuser, or if its mode
/// allows other users to write, the store logs a warning, once for each file. It does not refuse
/// such files, because the owner of a mounted volume is often out of the operator's hands.
///
/// # Costs and limits
///
/// A write makes three system calls that wait for the disk, on a thread for blocking work. Watches
/// in the same process are notified of a write. Watches in other processes poll the file ten times
/// per second, which takes about ten microseconds each time, works on every file system, and needs
/// no further dependency. A list reads the files of its range while no writer holds the lock.
///
/// A child process inherits the open files, including the lock, until it executes another program.
/// Until then a write waits, as for another writer.
///
/// Do not use network file systems: their locks are unreliable. Directories are synced, modes are set
/// and checked, and symbolic links are refused on Unix only.
///
/// # Example
///
/// ```
/// use canary_controller::store::{Document, FileStore, StateStore, StoreKey};
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let store = FileStore::open(directory).await?;
/// let key = StoreKey::try_new("prod", &"checkout".parse()?)?;
/// let _ = store.compare_and_swap(&key, None, &Document::try_new(r#"{"step":1}"#)?).await?;
///
/// let restarted = FileStore::open(directory).await?;
/// let loaded = restarted.load(&key).await?.expect("the document was stored");
/// assert_eq!(loaded.document.as_str(), r#"{"step":1}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileStore {
    shared: Arc<Shared>,
}

struct Shared {
    directory: Directory,
    /// One permit: a process makes one write at a time. The write then waits for other processes.
    writer: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    /// Notifies the watches of this process of writes.
    written: watch::Sender<()>,
}

impl FileStore {
    /// Opens or creates a directory, and removes temporary files left by a crash.
    ///
    /// # Errors
    ///
    /// Returns [`Refused`](StoreError::Refused) if this process may not create or write the directory
    /// or its files, and [`Unavailable`](StoreError::Unavailable) for other failures.
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = directory.into();
        let operation = format!("open {}", path.display());
        let opening = timeout(CALL_DEADLINE, spawn_blocking(move || Directory::open(path)));
        let directory = match opening.await {
            Ok(Ok(opened)) => opened?,
            Ok(Err(error)) => return Err(StoreError::unavailable(operation, error)),
            Err(late) => return Err(StoreError::unavailable(operation, late)),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                directory,
                writer: Arc::new(Semaphore::new(1)),
                readers: Arc::new(Semaphore::new(MAX_READERS)),
                written: watch::Sender::new(()),
            }),
        })
    }

    /// Returns the path of the directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.shared.directory.path()
    }

    /// Runs work on a thread for blocking work, within [`CALL_DEADLINE`].
    async fn run<T: Send + 'static>(
        &self,
        access: Access,
        operation: String,
        work: impl FnOnce(&Directory, Instant) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let deadline = tokio::time::Instant::now() + CALL_DEADLINE;
        let lock_deadline = Instant::now() + LOCK_TIMEOUT;
        let (permits, limit, busy) = match access {
            Access::Read => {
                (&self.shared.readers, CALL_DEADLINE, "earlier reads of this process hang")
            }
            Access::Write => {
                (&self.shared.writer, LOCK_TIMEOUT, "an earlier write of this process hangs")
            }
        };
        let Ok(Ok(permit)) = timeout(limit, permits.clone().acquire_owned()).await else {
            return Err(StoreError::unavailable(operation, busy));
        };
        let shared = self.shared.clone();
        let working = spawn_blocking(move || {
            // Held until the work ends, even if the caller no longer waits for it.
            let _permit = permit;
            work(&shared.directory, lock_deadline)
        });
        let interrupted: BoxError = match timeout_at(deadline, working).await {
            Ok(Ok(result)) => return result,
            Ok(Err(error)) => error.into(),
            Err(_) => "the disk did not respond within 2s".into(),
        };
        Err(match access {
            Access::Read => StoreError::unavailable(operation, interrupted),
            Access::Write => StoreError::unknown(operation, interrupted),
        })
    }
}

#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

impl StateStore for FileStore {
    fn location(&self, key: &StoreKey) -> String {
        self.shared.directory.document_path(key).display().to_string()
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        let owned = key.clone();
        Box::pin(
            self.run(Access::Read, format!("load {key}"), move |directory, _| {
                directory.load(&owned)
            }),
        )
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        let (owned, expected, document) = (key.clone(), expected.cloned(), document.clone());
        Box::pin(async move {
            let swapping =
                self.run(Access::Write, format!("swap {key}"), move |directory, lock_deadline| {
                    directory.swap(&owned, expected.as_ref(), document, lock_deadline)
                });
            let swapped = swapping.await;
            self.shared.written.send_replace(());
            swapped
        })
    }

    fn remove<'a>(&'a self, key: &'a StoreKey, expected: &'a Revision) -> StoreFuture<'a, Removal> {
        let (owned, expected) = (key.clone(), expected.clone());
        Box::pin(async move {
            let removing = self.run(
                Access::Write,
                format!("remove {key}"),
                move |directory, lock_deadline| directory.remove(&owned, &expected, lock_deadline),
            );
            let removed = removing.await;
            self.shared.written.send_replace(());
            removed
        })
    }

    fn list<'a>(&'a self, range: &'a KeyRange) -> StoreFuture<'a, Vec<Listed>> {
        let owned = range.clone();
        Box::pin(self.run(
            Access::Read,
            format!("list {range}"),
            move |directory, lock_deadline| directory.list(&owned, lock_deadline),
        ))
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        let written = self.shared.written.subscribe();
        DocumentWatch::new(FileWatchSource { store: self.clone(), key: key.clone(), written })
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a EventRecord,
    ) -> StoreFuture<'a, ()> {
        let (owned, event) = (key.clone(), event.clone());
        let operation = format!("append an event to {key}");
        Box::pin(self.run(Access::Write, operation, move |directory, lock_deadline| {
            directory.append(&owned, &event, lock_deadline)
        }))
    }

    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        let owned = key.clone();
        let operation = format!("read the events of {key}");
        Box::pin(self.run(Access::Read, operation, move |directory, lock_deadline| {
            directory.events(&owned, limit, lock_deadline)
        }))
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("directory", &self.directory()).finish_non_exhaustive()
    }
}

struct FileWatchSource {
    store: FileStore,
    key: StoreKey,
    written: watch::Receiver<()>,
}

impl WatchSource for FileWatchSource {
    fn load(&mut self) -> StoreFuture<'_, Option<Versioned>> {
        self.written.mark_unchanged();
        self.store.load(&self.key)
    }

    fn changed(&mut self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            // The caller loads the file even without a notification: its time and size can be the
            // same after a write.
            let _ = timeout(POLL_INTERVAL, self.written.changed()).await;
            Ok(())
        })
    }
}

/// How often a watch checks for writes of other processes.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long to wait for other writers. It is shorter than [`CALL_DEADLINE`], so that a call that
/// does not get the lock can still report that nothing was written.
const LOCK_TIMEOUT: Duration = Duration::from_millis(1500);

const MAX_READERS: usize = 4;
