//! Helpers for files: private modes, synced directories, and errors that name the path.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

#[cfg(unix)]
use rustix::fs::OFlags;
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};

use super::fail_point::{FailPoint, reach};

/// Returns options that create files with mode 0600, follow no symbolic link, and do not wait for
/// the other end of a pipe.
pub(super) fn private() -> OpenOptions {
    let mut options = File::options();
    #[cfg(unix)]
    options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Opens a file of the store. Refuses everything that is not a regular file: another user who can
/// write the directory may have put it there.
pub(super) fn open_regular(path: &Path, options: &OpenOptions) -> io::Result<(File, Metadata)> {
    let opened = options.open(path).and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((metadata, file)) if metadata.is_file() => Ok((file, metadata)),
        Ok(_) => Err(refused("expected a regular file")),
        // The error of the operating system for a link or a pipe is misleading.
        Err(error) => match path.symlink_metadata() {
            Ok(metadata) if !metadata.is_file() => Err(refused("expected a regular file")),
            _ => Err(error),
        },
    }
}

/// Refuses a file that has another name elsewhere, where its content must not change.
pub(super) fn check_single_name(metadata: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    if metadata.nlink() > 1 {
        return Err(refused("expected a file with one name, found hard links"));
    }
    let _ = metadata;
    Ok(())
}

/// Creates an error that only an operator can resolve.
fn refused(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why)
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
