//! What it costs to store, against what the disk alone takes for the same bytes.
//!
//! `cargo bench -p canary-controller --bench store [-- ROUNDS]`, in the directory of `TMPDIR`,
//! which should be on a disk. What is compared takes turns, so that a disk that is busy for a while
//! is so for both, and the difference is taken by the turn. It fails if a swap takes 5 ms more than
//! the disk, by the median.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use canary_controller::store::{
    Document, EventRecord, FileStore, MemoryStore, Revision, StateStore, StoreKey, Swap,
};

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo passes options of its own.
    let rounds = env::args().find_map(|it| it.parse().ok()).unwrap_or(500);
    let directory = tempfile::tempdir()?;
    let file = FileStore::open(directory.path().join("store")).await?;
    let memory = MemoryStore::new();
    let key = StoreKey::try_new("bench", &"checkout".parse()?)?;
    let document = document(LEN)?;
    let event = EventRecord::try_new(format!(r#"{{"pad":"{}"}}"#, "x".repeat(300)))?;
    let mut log = File::create(directory.path().join("log"))?;

    let mut times: [Vec<Duration>; 6] = Default::default();
    let (mut in_file, mut in_memory) = (None, None);
    for _ in 0..rounds {
        let begun = Instant::now();
        replace(directory.path(), document.as_bytes())?;
        times[0].push(begun.elapsed());

        let begun = Instant::now();
        in_file = Some(swap(&file, &key, in_file.as_ref(), &document).await?);
        times[1].push(begun.elapsed());

        let begun = Instant::now();
        log.write_all(event.as_bytes())?;
        log.sync_data()?;
        times[2].push(begun.elapsed());

        let begun = Instant::now();
        file.append_event(&key, &event).await?;
        times[3].push(begun.elapsed());

        let begun = Instant::now();
        file.load(&key).await?;
        times[4].push(begun.elapsed());

        let begun = Instant::now();
        in_memory = Some(swap(&memory, &key, in_memory.as_ref(), &document).await?);
        times[5].push(begun.elapsed());
    }
    println!("{rounds} rounds, document of {LEN} bytes, event of {}", event.as_bytes().len());
    let added = |store: &[Duration], disk: &[Duration]| {
        let turns = store.iter().zip(disk);
        turns.map(|(store, disk)| store.saturating_sub(*disk)).collect::<Vec<_>>()
    };
    let mut swaps = added(&times[1], &times[0]);
    let mut appends = added(&times[3], &times[2]);
    for (name, times) in NAMES.iter().zip(&mut times) {
        report(name, times);
    }
    let added = report("swap: more than the disk, by the turn", &mut swaps);
    report("event: more than the disk, by the turn", &mut appends);
    assert!(added < Duration::from_millis(5), "a swap takes {added:?} more than the disk");
    Ok(())
}

/// A plan, its evidence and some history.
const LEN: usize = 2 * 1024;

const NAMES: [&str; 6] = [
    "disk: write, sync, rename, sync directory",
    "FileStore: swap",
    "disk: append, sync data",
    "FileStore: append an event",
    "FileStore: load",
    "MemoryStore: swap",
];

fn report(name: &str, times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let [p50, p90, p99] = [50, 90, 99].map(at);
    println!("{name:42} p50 {p50:>9.1?}  p90 {p90:>9.1?}  p99 {p99:>9.1?}");
    p50
}

fn replace(directory: &Path, text: &[u8]) -> io::Result<()> {
    let temporary = directory.join("document.tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join("document"))?;
    File::open(directory)?.sync_all()
}

async fn swap(
    store: &dyn StateStore,
    key: &StoreKey,
    expected: Option<&Revision>,
    document: &Document,
) -> Result<Revision, Box<dyn std::error::Error>> {
    match store.compare_and_swap(key, expected, document).await? {
        Swap::Done(revision) => Ok(revision),
        Swap::Conflict(current) => Err(format!("nobody else writes: {current:?}").into()),
    }
}

fn document(len: usize) -> Result<Document, Box<dyn std::error::Error>> {
    Ok(Document::try_new(format!(r#"{{"pad":"{}"}}"#, "x".repeat(len - 10)))?)
}
