//! The files stay consistent whenever a process is killed: S7, F1, F2, F3 and F4.

use std::{
    env, fmt,
    fs::{self, File},
    hint,
    io::{ErrorKind, Write},
    path::Path,
    thread,
    time::Instant,
};

use canary_controller::store::{EventRecord, FileStore, StateStore};

use super::child::{Process, Task, document, event, key, number, patiently};

/// The points at which a write can be killed, and the document or event found afterwards: the
/// previous one, or the one that was being written.
const POINTS: [(&str, Found); 12] = [
    ("Locked", Found::Old),
    ("TemporaryCreated", Found::Old),
    ("TemporaryHalfWritten", Found::Old),
    ("TemporaryWritten", Found::Old),
    ("TemporarySynced", Found::Old),
    ("Renamed", Found::New),
    ("DirectorySynced", Found::New),
    ("EventHalfWritten", Found::Old),
    // Only reached after the previous point.
    ("TornEventCut", Found::Old),
    ("HistoryRotated", Found::Old),
    ("EventWritten", Found::New),
    ("EventSynced", Found::New),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Found {
    Old,
    New,
}

#[tokio::test]
async fn a_process_killed_at_any_write_point_keeps_acknowledged_writes() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(0x5eed);
    let mut report = Report::default();
    let mut known = Known::default();
    for _ in 0..rounds(20) {
        for (point, found) in POINTS {
            let pass = if matches!(point, "TornEventCut" | "HistoryRotated") {
                1
            } else {
                random.below(3) + 1
            };
            if point == "HistoryRotated" {
                known.appended = nearly_fill(directory.path(), known.appended);
            }
            let mut process =
                Process::start(Task::Write, directory.path(), Some(&format!("{point}:{pass}")));
            loop {
                let line = process
                    .next_line()
                    .unwrap_or_else(|| panic!("the process never reaches {point}"));
                if line == "stopped" {
                    break;
                }
                known.update(&line);
            }
            drop(process);
            if point == "EventHalfWritten" {
                let history = fs::read(file(directory.path(), "events.jsonl")).unwrap();
                assert!(!history.ends_with(b"\n"), "the file ends with half a line");
            }
            let is_event = point.contains("Event") || point == "HistoryRotated";
            let before = known.clone();
            // Comparing a full history takes long, so only one test does it.
            let limit = if point == "HistoryRotated" { usize::MAX } else { 20 };
            report.add(known.compare(directory.path(), limit).await);
            let gained = if is_event {
                known.appended - before.appended
            } else {
                known.swapped - before.swapped
            };
            let other = if is_event {
                known.swapped - before.swapped
            } else {
                known.appended - before.appended
            };
            assert_eq!(gained, u64::from(found == Found::New), "at {point}:{pass}");
            assert_eq!(other, 0, "at {point}:{pass} the other file does not change");
        }
    }
    println!("killed at {} write points: {report}", POINTS.len());
}

#[tokio::test]
async fn a_process_killed_at_any_time_keeps_acknowledged_writes() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(0xc4a5);
    let mut report = Report::default();
    let mut known = Known::default();
    for _ in 0..rounds(5) * POINTS.len() as u64 {
        let mut process = Process::start(Task::Write, directory.path(), None);
        for _ in 0..random.below(20) {
            known.update(&process.next_line().expect("the process writes until it is killed"));
        }
        // A busy wait hits a random moment of a write.
        let (begun, pause) = (Instant::now(), u128::from(random.below(2_000)));
        while begun.elapsed().as_micros() < pause {
            hint::spin_loop();
        }
        process.kill().iter().for_each(|line| known.update(line));
        report.add(known.compare(directory.path(), usize::MAX).await);
    }
    println!("killed at random: {report}");
}

/// The writes that the killed processes have acknowledged.
#[derive(Clone, Debug, Default)]
struct Known {
    swapped: u64,
    appended: u64,
}

impl Known {
    fn update(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("swapped", number)) => self.swapped = number.parse().unwrap(),
            Some(("appended", number)) => self.appended = number.parse().unwrap(),
            _ => {}
        }
    }

    /// Compares the acknowledged writes with the stored ones, which may be one ahead, and updates
    /// them.
    async fn compare(&mut self, directory: &Path, limit: usize) -> Round {
        match File::open(directory.join("canary.lock")) {
            Ok(lock) => wait_for(&lock),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                assert_eq!(
                    (self.swapped, self.appended),
                    (0, 0),
                    "the process was killed before its first write"
                );
            }
        }
        let temporary = file(directory, "json.tmp");
        let has_left = temporary.exists();
        let store = patiently(async || FileStore::open(directory).await).await.unwrap();
        assert!(!temporary.exists(), "the temporary file is removed");

        let mut round = Round { has_left, ..Round::default() };
        match patiently(async || store.load(&key()).await).await {
            Err(error) => panic!("torn: {error:?}"),
            Ok(None) => assert_eq!(self.swapped, 0, "lost"),
            Ok(Some(current)) => {
                let found = number(current.document.as_str());
                assert!(current.document == document(found), "torn: {current:?}");
                assert!(
                    found >= self.swapped,
                    "lost: {} was acknowledged, {found} is stored",
                    self.swapped
                );
                assert!(found <= self.swapped + 1, "{found} is stored after {}", self.swapped);
                round.ahead += found - self.swapped;
                self.swapped = found;
            }
        }

        let events = patiently(async || store.events(&key(), limit).await).await.unwrap();
        let found = events.last().map_or(0, |it| number(it.as_str()));
        assert!(
            found >= self.appended,
            "lost: {} was acknowledged, {found} is stored",
            self.appended
        );
        assert!(found <= self.appended + 1, "{found} is stored after {}", self.appended);
        let kept = events.len() as u64;
        assert!(
            kept >= found.min(limit.min(EventRecord::MIN_KEPT) as u64),
            "{kept} of {found} events are kept"
        );
        let expected = found + 1 - kept..=found;
        for (found, expected) in events.iter().zip(expected) {
            assert!(*found == event(expected), "expected event {expected}, found {found:?}");
        }
        round.ahead += found - self.appended;
        self.appended = found;
        round
    }
}

/// Waits briefly for the lock: a child process that another test forks at this moment holds a copy
/// of the file until it executes its program.
fn wait_for(lock: &File) {
    let begun = Instant::now();
    while lock.try_lock().is_err() {
        assert!(begun.elapsed().as_secs() < 60, "the lock is released when its process ends");
        thread::yield_now();
    }
}

/// Fills the history with events until only a few more fit. Returns the number of the last event.
fn nearly_fill(directory: &Path, mut last: u64) -> u64 {
    let path = file(directory, "events.jsonl");
    let mut history = File::options().append(true).open(path).unwrap();
    let mut len = history.metadata().unwrap().len();
    let full = (EventRecord::MIN_KEPT * (EventRecord::MAX_LEN + 1)) as u64;
    while len + 3 * EventRecord::MAX_LEN as u64 <= full {
        last += 1;
        let line = [event(last).as_bytes(), &b"\n"[..]].concat();
        history.write_all(&line).unwrap();
        len += line.len() as u64;
    }
    last
}

#[derive(Clone, Copy, Debug, Default)]
struct Round {
    has_left: bool,
    /// The number of writes that were stored but not acknowledged.
    ahead: u64,
}

/// The statistics of all rounds. A round with a torn file or a lost write panics before.
#[derive(Debug, Default)]
struct Report {
    rounds: u64,
    left: u64,
    ahead: u64,
}

impl Report {
    fn add(&mut self, round: Round) {
        self.rounds += 1;
        self.left += u64::from(round.has_left);
        self.ahead += round.ahead;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, left, ahead } = self;
        write!(
            f,
            "{rounds} rounds, 0 torn, 0 acknowledged writes lost; {ahead} writes were stored but not \
             acknowledged, {left} temporary files were removed"
        )
    }
}

/// A pseudo-random generator with a fixed sequence.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Returns the number of rounds, which an environment variable can multiply.
pub(super) fn rounds(usual: u64) -> u64 {
    let times = env::var("CANARY_CRASH_TIMES").map_or(1, |times| times.parse().unwrap());
    usual * times
}

fn file(directory: &Path, suffix: &str) -> std::path::PathBuf {
    let key = key();
    directory.join(format!("{}.{suffix}", key.as_str()[1..].replace('/', ".")))
}
