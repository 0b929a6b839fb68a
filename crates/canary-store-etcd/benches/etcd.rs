//! Measures the time of store calls against a new etcd server on this machine.
//!
//! Run it with `cargo bench -p canary-store-etcd [-- ROUNDS]`. The server writes to `TMPDIR`, which
//! should be on a disk.

use std::{
    env,
    time::{Duration, Instant},
};

use canary_controller::store::{
    Document, EventRecord, KeyRange, StateStore, StoreKey, Swap, WatchEvent,
};
use canary_store_etcd::EtcdStore;
use canary_tests::etcd::Etcd;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo also passes its own options.
    let rounds = env::args().find_map(|it| it.parse().ok()).unwrap_or(500);
    let Some(etcd) = Etcd::start("the benchmark", &[]) else { return Ok(()) };
    let store = EtcdStore::builder([etcd.url()]).build()?;
    let watching = EtcdStore::builder([etcd.url()]).build()?;
    let range = KeyRange::rollouts("bench")?;
    for number in 0..100 {
        let key = range.key(&format!("replica-{number}").parse()?);
        let _ = store.compare_and_swap(&key, None, &document(number)?).await?;
    }

    let key = StoreKey::try_new("bench", &"replica-0".parse()?)?;
    let mut watch = watching.watch(&key);
    let WatchEvent::Value(first) = watch.next().await else { return Err("not stored".into()) };
    let mut revision = first.revision;
    let mut times: [Vec<Duration>; 5] = Default::default();
    for round in 0..rounds {
        let start = Instant::now();
        let swap = store.compare_and_swap(&key, Some(&revision), &document(round)?).await?;
        times[0].push(start.elapsed());
        let Swap::Done(next) = swap else { return Err("there are no other writers".into()) };
        while !matches!(watch.next().await, WatchEvent::Value(it) if it.revision == next) {}
        times[1].push(start.elapsed());
        revision = next;

        let start = Instant::now();
        store.load(&key).await?;
        times[2].push(start.elapsed());

        let start = Instant::now();
        let event =
            EventRecord::try_new(format!(r#"{{"id":{round},"pad":"{}"}}"#, "x".repeat(300)))?;
        store.append_event(&key, &event).await?;
        times[3].push(start.elapsed());

        let start = Instant::now();
        assert_eq!(store.list(&range).await?.len(), 100);
        times[4].push(start.elapsed());
    }
    println!("{rounds} rounds, documents of 4 kB, p50 and p99 in ms");
    for (name, times) in NAMES.iter().zip(&mut times) {
        times.sort();
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("{name:28} {:8.2} {:8.2}", ms(p50), ms(p99));
    }
    Ok(())
}

const NAMES: [&str; 5] =
    ["swap", "swap until the watch has it", "load", "append an event", "list of 100 documents"];

fn document(number: usize) -> Result<Document, Box<dyn std::error::Error>> {
    Ok(Document::try_new(format!(r#"{{"number":{number},"pad":"{}"}}"#, "x".repeat(4000)))?)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
