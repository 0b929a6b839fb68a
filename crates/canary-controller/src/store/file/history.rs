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
        lock_until: Instant,
    ) -> Result<(), StoreError> {
        let asked = || format!("append an event to {key}");
        let failed = |error| failure(asked(), error);
        let _lock = self.lock(LockMode::Exclusive, lock_until).map_err(failed)?;
        let path = self.file(key, NEWER);
        let line = [event.as_bytes(), &b"\n"[..]].concat();
        let history = EventsFile::open(&path).map_err(failed)?;
        let mut history = if history.len > 0 && history.len + line.len() as u64 > FULL {
            self.rotate(key).and_then(|()| EventsFile::open(&path)).map_err(failed)?
        } else {
            history
        };
        if history.len == 0 {
            // Before the first line, so that a file with lines has a name that survives.
            files::sync_directory(self.path()).map_err(failed)?;
        }
        if let Err(error) = files::write(&mut history.file, &line, FailPoint::EventHalfWritten) {
            // Whatever is left of it is no line.
            let error = named(&path, error);
            return Err(match history.file.set_len(history.len) {
                Ok(()) => failed(error),
                Err(_) => StoreError::unknown(asked(), error),
            });
        }
        reach(FailPoint::EventWritten);
        let synced = history.file.sync_data().map_err(|error| named(&path, error));
        reach(FailPoint::EventSynced);
        synced.map_err(|error| StoreError::unknown(asked(), error))
    }

    pub(super) fn events(
        &self,
        key: &StoreKey,
        most: usize,
        lock_until: Instant,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let failed = |error| failure(format!("read the events of {key}"), error);
        // Between the two files nobody may rotate them.
        let _lock = self.lock(LockMode::Shared, lock_until).map_err(failed)?;
        let mut newest_first = Vec::new();
        for suffix in [NEWER, OLDER] {
            let path = self.file(key, suffix);
            let text = match fs::read(&path) {
                Ok(text) => Bytes::from(text),
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(named(&path, error))),
            };
            let left = most - newest_first.len();
            newest_first.extend(events_of(&text, &path).take(left));
        }
        newest_first.reverse();
        Ok(newest_first)
    }

    fn rotate(&self, key: &StoreKey) -> io::Result<()> {
        let newer = self.file(key, NEWER);
        fs::rename(&newer, self.file(key, OLDER)).map_err(|error| named(&newer, error))?;
        files::sync_directory(self.path())?;
        reach(FailPoint::HistoryRotated);
        Ok(())
    }
}

/// The file that is appended to.
struct EventsFile {
    file: File,
    len: u64,
}

impl EventsFile {
    /// Opens or makes it, and cuts off the line that a crash left unfinished.
    fn open(path: &Path) -> io::Result<Self> {
        let open = || {
            let mut file = files::private().read(true).append(true).create(true).open(path)?;
            let mut len = file.metadata()?.len();
            if len > 0 && last_byte(&mut file)? != b'\n' {
                len = whole_lines(&mut file)?;
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

/// How many bytes there are up to the end of the last whole line.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    Ok(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline as u64 + 1))
}

/// The events of a file, the newest first, without an unfinished line.
fn events_of(text: &Bytes, path: &Path) -> impl Iterator<Item = EventRecord> {
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let lines = text[..end].split_inclusive(|byte| *byte == b'\n').rev();
    lines.filter_map(move |line| {
        let event = EventRecord::try_new(text.slice_ref(&line[..line.len() - 1]));
        event
            .inspect_err(|error| {
                let file = path.display();
                tracing::warn!(%file, %error, "a line of the history is left out: it is no event");
            })
            .ok()
    })
}

const NEWER: &str = "events.jsonl";
const OLDER: &str = "events.1.jsonl";

/// When a file is full: it holds the events that are kept at least, were all as long as may be.
const FULL: u64 = (EventRecord::MIN_KEPT * (EventRecord::MAX_LEN + 1)) as u64;
