//! Whatever a process is doing when it is killed, the state is whole: S7, F1, F2, F3 and F4.

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

use super::child::{Process, Task, document, event, key, number};

/// Where a write can be killed, and which document and event are found then: that of before, or
/// the one that was being written.
const POINTS: [(&str, Found); 12] = [
    ("Locked", Found::Old),
    ("TemporaryCreated", Found::Old),
    ("TemporaryHalfWritten", Found::Old),
    ("TemporaryWritten", Found::Old),
    ("TemporarySynced", Found::Old),
    ("Renamed", Found::New),
    ("DirectorySynced", Found::New),
    ("EventHalfWritten", Found::Old),
    // It is reached only after the one before it.
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
async fn a_process_killed_at_every_write_point_leaves_whole_what_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut chance = Chance(0x5eed);
    let mut report = Report::default();
    let mut known = Known::default();
    for _ in 0..rounds(20) {
        for (point, found) in POINTS {
            let pass = if matches!(point, "TornEventCut" | "HistoryRotated") {
                1
            } else {
                chance.below(3) + 1
            };
            if point == "HistoryRotated" {
                known.appended = nearly_fill(directory.path(), known.appended);
            }
            let mut process =
                Process::start(Task::Write, directory.path(), Some(&format!("{point}:{pass}")));
            loop {
                let line = process.says().unwrap_or_else(|| panic!("it never comes to {point}"));
                if line == "stopped" {
                    break;
                }
                known.hear(&line);
            }
            drop(process);
            if point == "EventHalfWritten" {
                let history = fs::read(file(directory.path(), "events.jsonl")).unwrap();
                assert!(!history.ends_with(b"\n"), "half a line is there to be cut");
            }
            let is_event = point.contains("Event") || point == "HistoryRotated";
            let before = known.clone();
            // The whole of a full history takes long to compare.
            let most = if point == "HistoryRotated" { usize::MAX } else { 20 };
            report.add(known.compare(directory.path(), most).await);
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
            assert_eq!(other, 0, "at {point}:{pass} only the one is written");
        }
    }
    println!("killed at {} write points: {report}", POINTS.len());
}

#[tokio::test]
async fn a_process_killed_at_any_time_leaves_whole_what_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut chance = Chance(0xc4a5);
    let mut report = Report::default();
    let mut known = Known::default();
    for _ in 0..rounds(5) * POINTS.len() as u64 {
        let mut process = Process::start(Task::Write, directory.path(), None);
        for _ in 0..chance.below(20) {
            known.hear(&process.says().expect("it goes on until it is killed"));
        }
        // Not to wait for anything: to fall into whichever moment of a write.
        let (begun, pause) = (Instant::now(), u128::from(chance.below(2_000)));
        while begun.elapsed().as_micros() < pause {
            hint::spin_loop();
        }
        process.kill().iter().for_each(|line| known.hear(line));
        report.add(known.compare(directory.path(), usize::MAX).await);
    }
    println!("killed at random: {report}");
}

/// What the killed processes said was stored.
#[derive(Clone, Debug, Default)]
struct Known {
    swapped: u64,
    appended: u64,
}

impl Known {
    fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("swapped", number)) => self.swapped = number.parse().unwrap(),
            Some(("appended", number)) => self.appended = number.parse().unwrap(),
            _ => {}
        }
    }

    /// Compares it with what is stored, which may be one ahead, and remembers that.
    async fn compare(&mut self, directory: &Path, most: usize) -> Round {
        match File::open(directory.join("canary.lock")) {
            Ok(lock) => wait_for(&lock),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                assert_eq!((self.swapped, self.appended), (0, 0), "it was killed before it began");
            }
        }
        let temporary = file(directory, "json.tmp");
        let has_left = temporary.exists();
        let store = FileStore::open(directory).await.unwrap();
        assert!(!temporary.exists(), "what was left is removed");

        let mut round = Round { has_left, ..Round::default() };
        // A file that cannot be parsed is an error already here.
        match store.load(&key()).await {
            Err(error) => panic!("torn: {error:?}"),
            Ok(None) => assert_eq!(self.swapped, 0, "lost"),
            Ok(Some(current)) => {
                let found = number(current.document.as_str());
                assert!(current.document == document(found), "torn: {current:?}");
                assert!(
                    found >= self.swapped,
                    "lost: {} was acknowledged, {found} is there",
                    self.swapped
                );
                assert!(found <= self.swapped + 1, "{found} is there after {}", self.swapped);
                round.ahead += found - self.swapped;
                self.swapped = found;
            }
        }

        let events = store.events(&key(), most).await.unwrap();
        let found = events.last().map_or(0, |it| number(it.as_str()));
        assert!(
            found >= self.appended,
            "lost: {} was acknowledged, {found} is there",
            self.appended
        );
        assert!(found <= self.appended + 1, "{found} is there after {}", self.appended);
        let kept = events.len() as u64;
        assert!(
            kept >= found.min(most.min(EventRecord::MIN_KEPT) as u64),
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

/// Waits a little for the lock: a process that another test starts in this moment has a copy of
/// what is open here, until it becomes a program of its own.
fn wait_for(lock: &File) {
    let begun = Instant::now();
    while lock.try_lock().is_err() {
        assert!(begun.elapsed().as_secs() < 10, "the lock went with its process");
        thread::yield_now();
    }
}

/// Adds events up to the last few that fit, as if they had been appended, and returns the number of
/// the last.
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
    /// What was stored without being acknowledged.
    ahead: u64,
}

/// A round in which something was torn or lost does not get here.
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
            "{rounds} rounds, 0 torn, 0 acknowledged writes lost; {ahead} were there unacknowledged, \
             {left} temporary files were left and removed"
        )
    }
}

/// Numbers that look like chance and are the same in every run.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// More of them where the environment asks for more.
fn rounds(usual: u64) -> u64 {
    let times = env::var("CANARY_CRASH_TIMES").map_or(1, |times| times.parse().unwrap());
    usual * times
}

fn file(directory: &Path, suffix: &str) -> std::path::PathBuf {
    let key = key();
    directory.join(format!("{}.{suffix}", key.as_str()[1..].replace('/', ".")))
}
