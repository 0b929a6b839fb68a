use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    envelope::Envelope,
    fail_point::{FailPoint, reach},
    files::{self, named},
    owner_check::OwnerCheck,
};
use crate::store::{
    Document, KeyRange, Listed, Removal, Retry, Revision, StoreError, StoreKey, Swap, Versioned,
};

/// The directory of a store. Its methods block.
pub(super) struct Directory {
    path: PathBuf,
    owners: OwnerCheck,
}

impl Directory {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let directory = Self { path, owners: OwnerCheck::default() };
        let failed = |error| failure(format!("open {}", directory.path.display()), error);
        files::make_directory(&directory.path).map_err(failed)?;
        let metadata = fs::metadata(&directory.path).map_err(failed)?;
        directory.owners.check(&directory.path, &metadata);
        let lock = directory.lock_path();
        directory
            .open_file(&lock, files::private().write(true).create(true))
            .map_err(|error| failed(named(&lock, error)))?;
        files::sync_directory(&directory.path).map_err(failed)?;
        directory.clean().map_err(failed)?;
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn load(&self, key: &StoreKey) -> Result<Option<Versioned>, StoreError> {
        Ok(self.read(key, "load")?.map(Envelope::into_versioned))
    }

    pub(super) fn swap(
        &self,
        key: &StoreKey,
        expected: Option<&Revision>,
        document: Document,
        lock_deadline: Instant,
    ) -> Result<Swap, StoreError> {
        let failed = |error| failure(format!("swap {key}"), error);
        let _lock = self.lock(LockMode::Exclusive, lock_deadline).map_err(failed)?;
        reach(FailPoint::Locked);
        let current = self.read(key, "swap")?;
        if current.as_ref().map(Envelope::revision).as_ref() != expected {
            return Ok(Swap::Conflict(current.map(Envelope::into_versioned)));
        }
        let next = Envelope::after(current.as_ref(), document);
        let (file, temporary) = (self.file(key, DOCUMENT), self.file(key, TEMPORARY));
        let replaced = write_synced(&temporary, &next.text())
            .and_then(|()| fs::rename(&temporary, &file).map_err(|error| named(&file, error)));
        if let Err(error) = replaced {
            // If this fails, the next write removes the file.
            let _ = fs::remove_file(&temporary);
            return Err(failed(error));
        }
        reach(FailPoint::Renamed);
        // Readers see the document from here on, but it does not yet survive a power failure.
        files::sync_directory(&self.path)
            .map_err(|error| StoreError::unknown(format!("swap {key}"), error))?;
        reach(FailPoint::DirectorySynced);
        Ok(Swap::Done(next.revision()))
    }

    pub(super) fn remove(
        &self,
        key: &StoreKey,
        expected: &Revision,
        lock_deadline: Instant,
    ) -> Result<Removal, StoreError> {
        let failed = |error| failure(format!("remove {key}"), error);
        let _lock = self.lock(LockMode::Exclusive, lock_deadline).map_err(failed)?;
        let current = self.read(key, "remove")?;
        if current.as_ref().map(Envelope::revision).as_ref() != Some(expected) {
            return Ok(Removal::Conflict(current.map(Envelope::into_versioned)));
        }
        let file = self.file(key, DOCUMENT);
        fs::remove_file(&file).map_err(|error| failed(named(&file, error)))?;
        files::sync_directory(&self.path)
            .map_err(|error| StoreError::unknown(format!("remove {key}"), error))?;
        Ok(Removal::Done)
    }

    pub(super) fn list(
        &self,
        range: &KeyRange,
        lock_deadline: Instant,
    ) -> Result<Vec<Listed>, StoreError> {
        let failed = |error| failure(format!("list {range}"), error);
        // Some file systems omit a file from a listing if it is replaced meanwhile.
        let _lock = self.lock(LockMode::Shared, lock_deadline).map_err(failed)?;
        let mut listed = Vec::new();
        for key in self.keys(range).map_err(|error| failed(named(&self.path, error)))? {
            let document = match self.read(&key, "list") {
                Ok(None) => continue,
                Ok(Some(envelope)) => Ok(envelope.into_versioned()),
                Err(error) if error.retry() == Retry::Never => Err(error),
                Err(error) => return Err(error),
            };
            listed.push(Listed { key, document });
        }
        listed.sort_unstable_by(|this, other| this.key.cmp(&other.key));
        Ok(listed)
    }

    /// Returns the keys of a range that have a file for a document.
    fn keys(&self, range: &KeyRange) -> io::Result<Vec<StoreKey>> {
        let prefix = file_name(range.as_str());
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let file = entry?.file_name();
            let name = file.to_str().and_then(|file| file.strip_prefix(&prefix));
            let name = name.and_then(|name| name.strip_suffix(DOCUMENT)?.strip_suffix('.'));
            // Names contain no `.`, so that neither histories nor other ranges have one.
            if let Some(name) = name.and_then(|name| name.parse().ok()) {
                keys.push(range.key(&name));
            }
        }
        Ok(keys)
    }

    /// Returns the path of a key's document.
    pub(super) fn document_path(&self, key: &StoreKey) -> PathBuf {
        self.file(key, DOCUMENT)
    }

    /// Returns the path of a file of a key.
    pub(super) fn file(&self, key: &StoreKey, suffix: &str) -> PathBuf {
        self.path.join(format!("{}.{suffix}", file_name(key.as_str())))
    }

    /// Opens a regular file of the directory.
    pub(super) fn open_file(&self, path: &Path, options: &OpenOptions) -> io::Result<File> {
        let (file, metadata) = files::open_regular(path, options)?;
        self.owners.check(path, &metadata);
        Ok(file)
    }

    /// Acquires the lock, which is held until the returned file is closed.
    pub(super) fn lock(&self, mode: LockMode, deadline: Instant) -> io::Result<File> {
        let path = self.lock_path();
        let file = self.open_file(&path, files::private().read(true).write(true));
        let file = file.map_err(|error| named(&path, error))?;
        let mut delay = Duration::from_micros(100);
        loop {
            let locked = match mode {
                LockMode::Exclusive => file.try_lock(),
                LockMode::Shared => file.try_lock_shared(),
            };
            match locked {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(named(&path, error)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(delay);
                    delay = (delay * 2).min(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    let busy = "the lock is held by another process";
                    return Err(named(&path, io::Error::new(ErrorKind::TimedOut, busy)));
                }
            }
        }
    }

    fn read(&self, key: &StoreKey, verb: &str) -> Result<Option<Envelope>, StoreError> {
        let operation = || format!("{verb} {key}");
        let path = self.file(key, DOCUMENT);
        let mut text = Vec::new();
        let open = || self.open_file(&path, files::private().read(true));
        let read = match open() {
            // Without the lock file this is not the store's directory. It may be an empty mount
            // point. If the directory reappeared just now, the document may exist after all.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let lock = self.lock_path();
                fs::metadata(&lock).map_err(|error| failure(operation(), named(&lock, error)))?;
                open()
            }
            opened => opened,
        };
        match read.and_then(|file| file.take(MAX_FILE_LEN).read_to_end(&mut text)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failure(operation(), named(&path, error))),
            Ok(_) => {}
        }
        let envelope = Envelope::parse(&text);
        let corrupt = |why| StoreError::corrupt(operation(), format!("{}: {why}", path.display()));
        envelope.map(Some).map_err(corrupt)
    }

    /// Removes temporary files left by a crash. Does nothing if another process keeps the lock:
    /// writers remove these files, too.
    fn clean(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_millis(200);
        let Ok(_lock) = self.lock(LockMode::Exclusive, deadline) else { return Ok(()) };
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            // The store never makes a directory here, and can work beside one.
            let is_file = !entry.file_type()?.is_dir();
            if is_file && path.to_str().is_some_and(|path| path.ends_with(TEMPORARY)) {
                fs::remove_file(&path).map_err(|error| named(&path, error))?;
            }
        }
        Ok(())
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join("canary.lock")
    }
}

/// Returns a key, or the beginning of one, as it is written in file names.
fn file_name(key: &str) -> String {
    key.trim_start_matches('/').replace('/', ".")
}

#[derive(Clone, Copy)]
pub(super) enum LockMode {
    Exclusive,
    Shared,
}

/// Converts an I/O error of an operation that has changed nothing.
pub(super) fn failure(operation: String, error: io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::refused(operation, error)
        }
        _ => StoreError::unavailable(operation, error),
    }
}

fn write_synced(path: &Path, text: &[u8]) -> io::Result<()> {
    let write = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // A new file, so that neither an old mode is kept nor a symbolic link followed.
        let mut file = files::private().write(true).create_new(true).open(path)?;
        reach(FailPoint::TemporaryCreated);
        files::write(&mut file, text, FailPoint::TemporaryHalfWritten)?;
        reach(FailPoint::TemporaryWritten);
        file.sync_all()?;
        reach(FailPoint::TemporarySynced);
        Ok(())
    };
    write().map_err(|error| named(path, error))
}

const DOCUMENT: &str = "json";
const TEMPORARY: &str = "json.tmp";

/// The maximum number of bytes to read: a document and its envelope. A longer file is truncated, so
/// that it does not parse.
const MAX_FILE_LEN: u64 = Document::MAX_LEN as u64 + 1024;
