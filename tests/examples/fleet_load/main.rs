//! Measures what a fleet costs its replicas and its store, with a directory, etcd and PostgreSQL:
//!
//! ```sh
//! cargo run --release -p canary-tests --example fleet_load -- 100 60   # replicas, seconds
//! ```
//!
//! Each replica is a thread with a controller and a store of its own. Another thread makes the calls, so
//! that the CPU time of a replica is that of its controller. The program needs Linux, and skips the
//! engines that are not installed.

mod cpu;
mod engine;
mod replica;
mod traffic;

use std::{env, sync::Arc, time::Duration};

use canary_controller::Actor;
use canary_rollout::{command::CommandName, replica::BEAT};
use tokio::{
    runtime,
    time::{Instant, interval},
};

use self::{
    engine::{Engine, Kind},
    replica::Replica,
    traffic::Traffic,
};

fn main() -> anyhow::Result<()> {
    let numbers = env::args().skip(1).map(|it| it.parse());
    let numbers = numbers.collect::<Result<Vec<u32>, _>>()?;
    let replicas = numbers.first().copied().unwrap_or(100);
    let time = Duration::from_secs(numbers.get(1).copied().unwrap_or(60).into());
    println!("{replicas} replicas, {time:?}");
    for kind in Kind::ALL {
        let Some(engine) = kind.start(replicas) else { continue };
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        match runtime.block_on(measure(&engine, replicas, time)) {
            Ok(costs) => println!("\n{kind:?}\n{costs}"),
            Err(error) => println!("\n{kind:?}: {error:#}"),
        }
    }
    Ok(())
}

/// Runs a rollout to its last weight, and measures from there.
async fn measure(engine: &Engine, replicas: u32, time: Duration) -> anyhow::Result<String> {
    let traffic = Arc::<Traffic>::default();
    let mut fleet = Vec::new();
    for number in 0..replicas {
        fleet.push(Replica::start(number, engine.url(), Arc::clone(&traffic)).await);
    }
    let rollout = &fleet[0].rollout;
    rollout.start(Actor::program("fleet_load"), "").await?;
    // The entries of the board have the counts of all weights.
    loop {
        call(&fleet, 2 * BEAT).await;
        if !rollout.status().allowed.contains(&CommandName::SkipStep) {
            break;
        }
        rollout.skip_step(Actor::program("fleet_load"), "").await?;
    }
    // All have published twice at the last weight.
    call(&fleet, 3 * rollout.status().fleet.clone().unwrap_or_default().beat()).await;

    let drives = || fleet.iter().position(|replica| replica.rollout.status().is_driving);
    // On a busy machine, another replica may have replaced the first driver.
    let driver = drives().and_then(|position| u32::try_from(position).ok());
    let driver = driver.ok_or_else(|| anyhow::anyhow!("no replica drives"))?;
    let before = Sample::take(engine, &traffic, replicas, driver);
    call(&fleet, time).await;
    let after = Sample::take(engine, &traffic, replicas, driver);
    let status = fleet[0].rollout.status();
    let mut heard = status.fleet.as_ref().map(ToString::to_string).unwrap_or_default();
    if drives() != usize::try_from(driver).ok() {
        heard += ", and the driver was replaced meanwhile";
    }
    for replica in fleet {
        replica.stop().await;
    }
    Ok(format!("{heard}\n{}", after.since(&before, time, replicas)))
}

/// Lets each replica have 20 calls per second.
async fn call(fleet: &[Replica], time: Duration) {
    let (mut tick, end) = (interval(Duration::from_millis(100)), Instant::now() + time);
    while Instant::now() < end {
        tick.tick().await;
        fleet.iter().for_each(|replica| replica.call(2));
    }
}

/// What has been used until a moment.
struct Sample {
    entries: u64,
    entry_bytes: u64,
    others: u64,
    other_bytes: u64,
    driver: Duration,
    followers: Duration,
    engine: Duration,
    size: u64,
    log: u64,
}

impl Sample {
    fn take(engine: &Engine, traffic: &Traffic, replicas: u32, driver: u32) -> Self {
        let (entries, entry_bytes) = traffic.entries();
        let (others, other_bytes) = traffic.others();
        let followers = (0..replicas).filter(|it| *it != driver);
        let followers = followers.map(|it| cpu::of_threads(&replica::name(it))).sum();
        let driver = cpu::of_threads(&replica::name(driver));
        let (size, log) = (engine.size(), engine.log_position());
        let engine = cpu::of_processes(&engine.processes());
        Self { entries, entry_bytes, others, other_bytes, driver, followers, engine, size, log }
    }

    fn since(&self, before: &Self, time: Duration, replicas: u32) -> String {
        let seconds = time.as_secs_f64();
        let rate = |now: u64, then: u64| number(now - then) / seconds;
        let part = |now: Duration, then: Duration| 100.0 * (now - then).as_secs_f64() / seconds;
        let (entries, bytes) =
            (rate(self.entries, before.entries), rate(self.entry_bytes, before.entry_bytes));
        let (others, other_bytes) =
            (rate(self.others, before.others), rate(self.other_bytes, before.other_bytes));
        let followers = part(self.followers, before.followers) / f64::from((replicas - 1).max(1));
        let (driver, engine) = (part(self.driver, before.driver), part(self.engine, before.engine));
        let mega_per_hour = |rate: f64| rate * 3600.0 / 1e6;
        let (size, log) = (rate(self.size, before.size), rate(self.log, before.log));
        format!(
            "entries of the board: {entries:.1} writes/s of {:.0} bytes\n\
             other documents and events: {others:.1} writes/s of {:.0} bytes\n\
             a replica writes {:.0} bytes/s, all together {:.0}\n\
             CPU: {followers:.2} % of a core for a follower, {driver:.1} % for the driver, {engine:.1} % for \
             the engine\n\
             the data grow by {:.0} MB/h, the write-ahead log by {:.0} MB/h\n",
            bytes / entries.max(f64::MIN_POSITIVE),
            other_bytes / others.max(f64::MIN_POSITIVE),
            bytes / f64::from(replicas),
            bytes + other_bytes,
            mega_per_hour(size),
            mega_per_hour(log),
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and sizes are far below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}
