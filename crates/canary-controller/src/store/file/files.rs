//! Helpers for files: private modes, synced directories, and errors that name the path.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use super::fail_point::{FailPoint, reach};

/// Returns options that create files with mode 0600.
pub(super) fn private() -> OpenOptions {
    let mut options = File::options();
    #[cfg(unix)]
    options.mode(0o600);
    options
}

/// Creates a directory and its parents if it does not exist.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(path).map_err(|error| named(path, error))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => Ok(()),
    }
}

/// Syncs a directory, so that created and renamed files survive a power failure.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    // Other platforms cannot open a directory as a file.
    if cfg!(unix) {
        let synced = File::open(path).and_then(|directory| directory.sync_all());
        synced.map_err(|error| named(path, error))?;
    }
    Ok(())
}

/// Writes the text, in two halves for the crash tests.
pub(super) fn write(file: &mut File, text: &[u8], half_written: FailPoint) -> io::Result<()> {
    let (first, second) =
        if cfg!(feature = "fail-points") { text.split_at(text.len() / 2) } else { (text, &[][..]) };
    file.write_all(first)?;
    reach(half_written);
    file.write_all(second)
}

/// Adds the path to an error, because the operating system's message does not contain it.
pub(super) fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), PathError { path: path.to_owned(), source: error })
}

#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
struct PathError {
    path: PathBuf,
    source: io::Error,
}
