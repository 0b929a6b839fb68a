//! Measures the time of store calls, and the time of the disk for the same bytes.
//!
//! Run it with `cargo bench -p canary-controller --bench store [-- ROUNDS]`. It writes to `TMPDIR`,
//! which should be on a disk. Each round measures the disk and the store in turn, and the
//! difference is taken per round, so that other load on the disk affects both. The benchmark fails
//! if the median swap takes 5 ms longer than the disk.

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
    // Cargo also passes its own options.
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
        let start = Instant::now();
        replace(directory.path(), document.as_bytes())?;
        times[0].push(start.elapsed());

        let start = Instant::now();
        in_file = Some(swap(&file, &key, in_file.as_ref(), &document).await?);
        times[1].push(start.elapsed());

        let start = Instant::now();
        log.write_all(event.as_bytes())?;
        log.sync_data()?;
        times[2].push(start.elapsed());

        let start = Instant::now();
        file.append_event(&key, &event).await?;
        times[3].push(start.elapsed());

        let start = Instant::now();
        file.load(&key).await?;
        times[4].push(start.elapsed());

        let start = Instant::now();
        in_memory = Some(swap(&memory, &key, in_memory.as_ref(), &document).await?);
        times[5].push(start.elapsed());
    }
    println!("{rounds} rounds, document of {LEN} bytes, event of {}", event.as_bytes().len());
    let added = |store: &[Duration], disk: &[Duration]| {
        let rounds = store.iter().zip(disk);
        rounds.map(|(store, disk)| store.saturating_sub(*disk)).collect::<Vec<_>>()
    };
    let mut swaps = added(&times[1], &times[0]);
    let mut appends = added(&times[3], &times[2]);
    for (name, times) in NAMES.iter().zip(&mut times) {
        report(name, times);
    }
    let added = report("swap: time above that of the disk", &mut swaps);
    report("event: time above that of the disk", &mut appends);
    assert!(added < Duration::from_millis(5), "a swap takes {added:?} longer than the disk");
    Ok(())
}

/// The size of a plan with its evidence and some history.
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
        Swap::Conflict(current) => Err(format!("there is no other writer: {current:?}").into()),
    }
}

fn document(len: usize) -> Result<Document, Box<dyn std::error::Error>> {
    Ok(Document::try_new(format!(r#"{{"pad":"{}"}}"#, "x".repeat(len - 10)))?)
}
