use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    envelope::Envelope,
    fail_point::{FailPoint, reach},
    files::{self, named},
};
use crate::store::{Document, Revision, StoreError, StoreKey, Swap, Versioned};

/// The directory of a store. All that it does blocks.
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let directory = Self { path };
        let failed = |error| failure(format!("open {}", directory.path.display()), error);
        files::make_directory(&directory.path).map_err(failed)?;
        files::private().write(true).create(true).open(directory.lock_path()).map_err(failed)?;
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
        lock_until: Instant,
    ) -> Result<Swap, StoreError> {
        let failed = |error| failure(format!("swap {key}"), error);
        let _lock = self.lock(LockMode::Exclusive, lock_until).map_err(failed)?;
        reach(FailPoint::Locked);
        let current = self.read(key, "swap")?;
        if current.as_ref().map(Envelope::revision).as_ref() != expected {
            return Ok(Swap::Conflict(current.map(Envelope::into_versioned)));
        }
        let next = Envelope::after(current.as_ref(), document);
        let (file, temporary) = (self.file(key, "json"), self.file(key, TEMPORARY));
        let replaced = write_whole(&temporary, &next.text())
            .and_then(|()| fs::rename(&temporary, &file).map_err(|error| named(&file, error)));
        if let Err(error) = replaced {
            // What is left is removed by the next write.
            let _ = fs::remove_file(&temporary);
            return Err(failed(error));
        }
        reach(FailPoint::Renamed);
        // The document is seen from here on, but a power cut may take it back.
        files::sync_directory(&self.path)
            .map_err(|error| StoreError::unknown(format!("swap {key}"), error))?;
        reach(FailPoint::DirectorySynced);
        Ok(Swap::Done(next.revision()))
    }

    /// The file of a key, by what it is.
    pub(super) fn file(&self, key: &StoreKey, suffix: &str) -> PathBuf {
        let name = key.as_str().trim_start_matches('/').replace('/', ".");
        self.path.join(format!("{name}.{suffix}"))
    }

    /// Waits for the lock, which is free when the file is closed.
    pub(super) fn lock(&self, lock: LockMode, until: Instant) -> io::Result<File> {
        let path = self.lock_path();
        let file = File::options().read(true).write(true).open(&path);
        let file = file.map_err(|error| named(&path, error))?;
        let mut pause = Duration::from_micros(100);
        loop {
            let locked = match lock {
                LockMode::Exclusive => file.try_lock(),
                LockMode::Shared => file.try_lock_shared(),
            };
            match locked {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(named(&path, error)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    let held = "another process has held the lock for too long";
                    return Err(named(&path, io::Error::new(ErrorKind::TimedOut, held)));
                }
            }
        }
    }

    fn read(&self, key: &StoreKey, verb: &str) -> Result<Option<Envelope>, StoreError> {
        let asked = || format!("{verb} {key}");
        let path = self.file(key, "json");
        let mut text = Vec::new();
        let open = || File::open(&path);
        let read = match open() {
            // The directory that was opened has a lock. If it has come back only now, so may have
            // the file.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let lock = self.lock_path();
                fs::metadata(&lock).map_err(|error| failure(asked(), named(&lock, error)))?;
                open()
            }
            opened => opened,
        };
        match read.and_then(|file| file.take(LONGEST).read_to_end(&mut text)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failure(asked(), named(&path, error))),
            Ok(_) => {}
        }
        let envelope = Envelope::parse(&text);
        let corrupt = |why| StoreError::corrupt(asked(), format!("{}: {why}", path.display()));
        envelope.map(Some).map_err(corrupt)
    }

    /// Removes what crashes have left. A writer that is at work all the time cleans up after
    /// itself.
    fn clean(&self) -> io::Result<()> {
        let until = Instant::now() + Duration::from_millis(200);
        let Ok(_lock) = self.lock(LockMode::Exclusive, until) else { return Ok(()) };
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.to_str().is_some_and(|path| path.ends_with(TEMPORARY)) {
                fs::remove_file(&path).map_err(|error| named(&path, error))?;
            }
        }
        Ok(())
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join("canary.lock")
    }
}

#[derive(Clone, Copy)]
pub(super) enum LockMode {
    Exclusive,
    Shared,
}

/// An error of the system's after which nothing has changed.
pub(super) fn failure(asked: String, error: io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            StoreError::refused(asked, error)
        }
        _ => StoreError::unavailable(asked, error),
    }
}

fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let write = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // It must be new: else the mode of an old one would stay, or a link be followed.
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

const TEMPORARY: &str = "json.tmp";

/// A document, and ample room for what is round it. What is longer is cut, and so does not parse.
const LONGEST: u64 = Document::MAX_LEN as u64 + 1024;
