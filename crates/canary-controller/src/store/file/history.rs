use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    path::Path,
    time::Instant,
};

use bytes::Bytes;

use super::{
    directory::{Directory, LockMode, failure},
    fail_point::{FailPoint, reach},
    files::{self, named},
};
use crate::store::{EventRecord, StoreError, StoreKey};

impl Directory {
    pub(super) fn append(
        &self,
        key: &StoreKey,
        event: &EventRecord,
        lock_deadline: Instant,
    ) -> Result<(), StoreError> {
        let operation = || format!("append an event to {key}");
        let failed = |error| failure(operation(), error);
        let _lock = self.lock(LockMode::Exclusive, lock_deadline).map_err(failed)?;
        let path = self.file(key, NEWER);
        let line = [event.as_bytes(), &b"\n"[..]].concat();
        let open = || EventsFile::open(self, &path);
        let mut events = open().map_err(failed)?;
        if events.len > 0 && events.len + line.len() as u64 > MAX_FILE_LEN {
            events = self.rotate(key).and_then(|()| open()).map_err(failed)?;
        }
        if events.len == 0 {
            // Before the first line, so that a file with lines survives a power failure.
            files::sync_directory(self.path()).map_err(failed)?;
        }
        if let Err(error) = files::write(&mut events.file, &line, FailPoint::EventHalfWritten) {
            // Remove the torn line.
            let error = named(&path, error);
            return Err(match events.file.set_len(events.len) {
                Ok(()) => failed(error),
                Err(_) => StoreError::unknown(operation(), error),
            });
        }
        reach(FailPoint::EventWritten);
        let synced = events.file.sync_data().map_err(|error| named(&path, error));
        reach(FailPoint::EventSynced);
        synced.map_err(|error| StoreError::unknown(operation(), error))
    }

    pub(super) fn events(
        &self,
        key: &StoreKey,
        limit: usize,
        lock_deadline: Instant,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let failed = |error| failure(format!("read the events of {key}"), error);
        // Prevents a rotation between the two reads.
        let _lock = self.lock(LockMode::Shared, lock_deadline).map_err(failed)?;
        let mut newest_first = Vec::new();
        for suffix in [NEWER, OLDER] {
            let path = self.file(key, suffix);
            let text = match self.read_end(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(named(&path, error))),
            };
            let remaining = limit - newest_first.len();
            newest_first.extend(events_of(&text, &path).take(remaining));
        }
        newest_first.reverse();
        Ok(newest_first)
    }

    /// Reads a file of events. Of a file that is longer than the store makes it, reads only the end,
    /// which begins in the middle of a line.
    fn read_end(&self, path: &Path) -> io::Result<Bytes> {
        let mut file = self.open_file(path, files::private().read(true))?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(MAX_FILE_LEN)))?;
        let mut text = Vec::new();
        file.take(MAX_FILE_LEN).read_to_end(&mut text)?;
        Ok(text.into())
    }

    fn rotate(&self, key: &StoreKey) -> io::Result<()> {
        let newer = self.file(key, NEWER);
        fs::rename(&newer, self.file(key, OLDER)).map_err(|error| named(&newer, error))?;
        files::sync_directory(self.path())?;
        reach(FailPoint::HistoryRotated);
        Ok(())
    }
}

/// The file to which events are appended.
struct EventsFile {
    file: File,
    len: u64,
}

impl EventsFile {
    /// Opens or creates the file, and removes a torn last line. Does not search a file that is full,
    /// which will be rotated.
    fn open(directory: &Directory, path: &Path) -> io::Result<Self> {
        let open = || {
            let mut options = files::private();
            options.read(true).append(true).create(true);
            let mut file = directory.open_file(path, &options)?;
            let metadata = file.metadata()?;
            files::check_single_name(&metadata)?;
            let mut len = metadata.len();
            if (1..=MAX_FILE_LEN).contains(&len) && last_byte(&mut file)? != b'\n' {
                len = complete_lines_len(&mut file)?;
                file.set_len(len)?;
                reach(FailPoint::TornEventCut);
            }
            Ok(Self { file, len })
        };
        open().map_err(|error| named(path, error))
    }
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Returns the length of all complete lines.
fn complete_lines_len(file: &mut File) -> io::Result<u64> {
    let mut text = Vec::new();
    file.rewind()?;
    file.take(MAX_FILE_LEN).read_to_end(&mut text)?;
    Ok(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline as u64 + 1))
}

/// Returns the events of a file, newest first, without a torn last line.
fn events_of(text: &Bytes, path: &Path) -> impl Iterator<Item = EventRecord> {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let lines = text[..end].split_inclusive(|byte| *byte == b'\n').rev();
    let mut is_warned = false;
    lines.filter_map(move |line| {
        let event = EventRecord::try_new(text.slice_ref(&line[..line.len() - 1]));
        if let Err(error) = &event
            && !is_warned
        {
            // Once, because a file that is not a history may have any number of lines.
            is_warned = true;
            let file = path.display();
            tracing::warn!(%file, %error, "ignored lines of the history that are not events");
        }
        event.ok()
    })
}

const NEWER: &str = "events.jsonl";
const OLDER: &str = "events.1.jsonl";

/// The maximum size of a file: [`EventRecord::MIN_KEPT`] events of the maximum length.
const MAX_FILE_LEN: u64 = (EventRecord::MIN_KEPT * (EventRecord::MAX_LEN + 1)) as u64;
