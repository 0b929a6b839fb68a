//! The latency of a swap, of an event, and of a change until a watch of another store returns it.
//!
//! ```sh
//! cargo bench -p canary-store-postgres --bench latency
//! ```

use std::time::{Duration, Instant};

use canary_controller::store::{
    Document, EventRecord, Revision, StateStore, StoreKey, Swap, WatchEvent,
};
use canary_store_postgres::PostgresStore;
use canary_tests::postgres::PostgresServer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let rounds = if is_test { 20 } else { 1000 };
    let Some(server) = PostgresServer::start_with("latency", &["fsync=on"], |_| {}) else {
        return Ok(());
    };
    let writer = PostgresStore::open(server.url().parse()?).await?;
    let reader = PostgresStore::open(server.url().parse()?).await?;
    let key = StoreKey::try_new("prod", &"shop".parse()?)?;
    let mut watch = reader.watch(&key);
    watch.next().await;
    let event = EventRecord::try_new(format!(r#"{{"pad":"{}"}}"#, "x".repeat(300)))?;
    let mut revision: Option<Revision> = None;
    let mut times: [Vec<Duration>; 4] = Default::default();
    for round in 0..rounds {
        let pad = "x".repeat(LEN);
        let document = Document::try_new(format!(r#"{{"round":{round},"pad":"{pad}"}}"#))?;
        let start = Instant::now();
        let swap = writer.compare_and_swap(&key, revision.as_ref(), &document).await?;
        times[0].push(start.elapsed());
        let Swap::Done(stored) = swap else { return Err("there is no other writer".into()) };
        while !matches!(watch.next().await, WatchEvent::Value(it) if it.revision == stored) {}
        times[1].push(start.elapsed());
        revision = Some(stored);

        let start = Instant::now();
        writer.load(&key).await?;
        times[2].push(start.elapsed());

        let start = Instant::now();
        writer.append_event(&key, &event).await?;
        times[3].push(start.elapsed());
    }
    println!("{rounds} rounds, documents of {LEN} bytes");
    for (name, times) in NAMES.iter().zip(&mut times) {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!("{name:44} p50 {:>9.1?}  p99 {:>9.1?}", at(50), at(99));
    }
    let size = "select pg_size_pretty(pg_total_relation_size('canary_documents'))";
    println!("the table of documents takes {}", server.query("shop", size));
    Ok(())
}

const LEN: usize = 4096;

const NAMES: [&str; 4] =
    ["swap", "swap, until another store's watch returns it", "load", "append an event"];
