use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use tokio::{
    sync::{Mutex, Semaphore, watch},
    task::spawn_blocking,
    time::{Duration, timeout, timeout_at},
};

use super::directory::Directory;
use crate::store::{
    CALL_DEADLINE, Document, DocumentWatch, EventRecord, Revision, StateStore, StoreError,
    StoreFuture, StoreKey, Swap, Versioned, WatchSource,
};

/// A [`StateStore`] in a directory of a local disk, which processes of one machine may share.
///
/// # The files
///
/// | file | what it is |
/// |---|---|
/// | `{key}.json` | the document of a key, in which `/` is written `.`: `prod.v1.rollouts.checkout.json` |
/// | `{key}.events.jsonl` | its last events, a line each; when full it becomes `{key}.events.1.jsonl` |
/// | `canary.lock` | what whoever writes locks; never delete it while a process uses the directory |
/// | `{key}.json.tmp` | a write under way, or what a crash left of one: removed by the next |
///
/// They are readable by their owner only. They can be read, compared and copied at any time, and a
/// document can be edited while no process uses the directory. Each key has 4 MiB of events at
/// most.
///
/// # What is certain
///
/// - **F1** A document is replaced as a whole: written beside, synced, renamed, the directory
///   synced. Whoever kills the process at whatever point finds the old document or the new one.
/// - **F2** An event is one line. A line that a crash cut short is left out, and cut away by the
///   next append; all before it are whole.
/// - **F3** The lock is the system's: it ends with the process that holds it, however that ends.
/// - **F4** What a crash left behind is removed when the directory is opened, and by the next
///   write.
/// - **F5** Files are made with mode 0600, the directory, if it has to be made, with 0700.
/// - **F6** A file that holds no document stays as it is; every call says
///   [`Corrupt`](StoreError::Corrupt).
/// - **F7** If the directory goes away, because it was deleted or its disk unmounted, calls say
///   [`Unavailable`](StoreError::Unavailable): an empty place is not taken for a missing document.
/// - **F8** Whatever blocks, a lock held by a stopped process or a disk that hangs, a call ends
///   within 2 s, and what hangs holds four threads for reading and one for writing, not more.
///
/// After a power cut F1 and F2 hold as far as the disk keeps what it said was synced. A document
/// that is not acknowledged yet may be seen before it is synced; if its writer is killed in that
/// moment, until the next write or opening syncs it.
///
/// # What to know
///
/// A write takes three system calls that wait for the disk, and is made on a thread for blocking
/// work. Watches of the same process learn of a write at once; those of others read the file ten
/// times a second. That is some ten microseconds of work a time, on any file system, and needs no
/// other crate.
///
/// A process that the application starts holds copies of its open files until it becomes another
/// program, and the lock with them: a write waits for that like for another writer.
///
/// The locks of network file systems are not to be trusted with this. Only on Unix are the
/// directories synced and the modes set.
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
/// let loaded = restarted.load(&key).await?.expect("it was stored");
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
    /// Held by the one write of this process, which then waits for other processes.
    writing: Arc<Mutex<()>>,
    reading: Arc<Semaphore>,
    /// Wakes the watches of this process.
    written: watch::Sender<()>,
}

impl FileStore {
    /// Opens a directory, or makes it, and removes what a crash left of writes.
    ///
    /// # Errors
    ///
    /// [`Refused`](StoreError::Refused) if the directory or its files may not be made or written,
    /// [`Unavailable`](StoreError::Unavailable) for whatever else fails.
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = directory.into();
        let asked = format!("open {}", path.display());
        let opening = timeout(CALL_DEADLINE, spawn_blocking(move || Directory::open(path)));
        let directory = match opening.await {
            Ok(Ok(opened)) => opened?,
            Ok(Err(error)) => return Err(StoreError::unavailable(asked, error)),
            Err(late) => return Err(StoreError::unavailable(asked, late)),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                directory,
                writing: Arc::default(),
                reading: Arc::new(Semaphore::new(READERS)),
                written: watch::Sender::new(()),
            }),
        })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.shared.directory.path()
    }

    /// Runs what changes files, one at a time.
    async fn write<T: Send + 'static>(
        &self,
        asked: String,
        work: impl FnOnce(&Directory, Instant) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let deadline = tokio::time::Instant::now() + CALL_DEADLINE;
        let lock_until = Instant::now() + LOCK_DEADLINE;
        let Ok(turn) = timeout(LOCK_DEADLINE, self.shared.writing.clone().lock_owned()).await
        else {
            return Err(StoreError::unavailable(asked, "an earlier write of this process hangs"));
        };
        let shared = self.shared.clone();
        let working = spawn_blocking(move || {
            // Until the work ends, also if nobody waits for it any more.
            let _turn = turn;
            work(&shared.directory, lock_until)
        });
        match timeout_at(deadline, working).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(StoreError::unknown(asked, error)),
            Err(_) => Err(StoreError::unknown(asked, LATE)),
        }
    }

    /// Runs what only reads files.
    async fn read<T: Send + 'static>(
        &self,
        asked: String,
        work: impl FnOnce(&Directory, Instant) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let deadline = tokio::time::Instant::now() + CALL_DEADLINE;
        let lock_until = Instant::now() + LOCK_DEADLINE;
        let Ok(turn) = timeout_at(deadline, self.shared.reading.clone().acquire_owned()).await
        else {
            return Err(StoreError::unavailable(asked, "earlier reads of this process hang"));
        };
        let shared = self.shared.clone();
        let working = spawn_blocking(move || {
            let _turn = turn;
            work(&shared.directory, lock_until)
        });
        match timeout_at(deadline, working).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(StoreError::unavailable(asked, error)),
            Err(_) => Err(StoreError::unavailable(asked, LATE)),
        }
    }
}

impl StateStore for FileStore {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        let wanted = key.clone();
        Box::pin(self.read(format!("load {key}"), move |directory, _| directory.load(&wanted)))
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        let (wanted, expected, document) = (key.clone(), expected.cloned(), document.clone());
        Box::pin(async move {
            let swapping = self.write(format!("swap {key}"), move |directory, lock_until| {
                directory.swap(&wanted, expected.as_ref(), document, lock_until)
            });
            let swapped = swapping.await;
            self.shared.written.send_replace(());
            swapped
        })
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
        let (wanted, event) = (key.clone(), event.clone());
        let asked = format!("append an event to {key}");
        Box::pin(self.write(asked, move |directory, lock_until| {
            directory.append(&wanted, &event, lock_until)
        }))
    }

    fn events<'a>(&'a self, key: &'a StoreKey, most: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        let wanted = key.clone();
        let asked = format!("read the events of {key}");
        Box::pin(
            self.read(asked, move |directory, lock_until| {
                directory.events(&wanted, most, lock_until)
            }),
        )
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
            // Whether woken or not: the file is read whole, since its time and size may stay the
            // same over two writes.
            let _ = timeout(POLL, self.written.changed()).await;
            Ok(())
        })
    }
}

/// How often a watch looks for what other processes wrote.
const POLL: Duration = Duration::from_millis(100);

/// How long to wait for other writers: short of [`CALL_DEADLINE`], so that who does not get the
/// lock still knows that nothing was written.
const LOCK_DEADLINE: Duration = Duration::from_millis(1500);

const READERS: usize = 4;

const LATE: &str = "the disk has not answered within 2 s";
