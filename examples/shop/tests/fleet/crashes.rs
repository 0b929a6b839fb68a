//! Faults of processes while a plan goes on: no step is skipped or repeated, and the evidence is what
//! the replicas have answered.

use futures_util::{StreamExt as _, stream};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rustix::process::Signal;
use serde_json::Value;

use super::{
    engine::{Engine, Kind},
    replicas::{self, Fleet, evidence},
};

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The driver is killed.
    KilledDriver,
    /// Another replica is killed.
    KilledReplica,
    /// The driver hangs until another replica has replaced it, and then goes on.
    FrozenDriver,
    /// The server of the store is killed, and started again with its data.
    KilledEngine,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_driver_is_replaced_with_a_directory() {
    repeat(Kind::Directory, Fault::KilledDriver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_driver_is_replaced_with_etcd() {
    repeat(Kind::Etcd, Fault::KilledDriver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_driver_is_replaced_with_postgres() {
    repeat(Kind::Postgres, Fault::KilledDriver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_leaves_its_evidence_with_a_directory() {
    repeat(Kind::Directory, Fault::KilledReplica).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_leaves_its_evidence_with_etcd() {
    repeat(Kind::Etcd, Fault::KilledReplica).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_leaves_its_evidence_with_postgres() {
    repeat(Kind::Postgres, Fault::KilledReplica).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_driver_changes_nothing_when_it_wakes_with_a_directory() {
    repeat(Kind::Directory, Fault::FrozenDriver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_driver_changes_nothing_when_it_wakes_with_etcd() {
    repeat(Kind::Etcd, Fault::FrozenDriver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_driver_changes_nothing_when_it_wakes_with_postgres() {
    repeat(Kind::Postgres, Fault::FrozenDriver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_goes_on_after_etcd_was_killed() {
    repeat(Kind::Etcd, Fault::KilledEngine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_goes_on_after_postgres_was_killed() {
    repeat(Kind::Postgres, Fault::KilledEngine).await;
}

/// Runs a plan several times with a fault at a random moment.
async fn repeat(kind: Kind, fault: Fault) {
    // Most of the time, a fleet waits. So several run at the same time.
    let mut rounds = stream::iter(0..super::rounds(1))
        .map(|round| async move {
            let Some(engine) = kind.start("a fleet with a fault") else { return };
            let seed = super::seed();
            println!("{fault:?} with {kind:?}, round {round}, seed {seed}");
            run(engine, fault, StdRng::seed_from_u64(seed)).await;
        })
        .buffer_unordered(PARALLEL_FLEETS);
    while rounds.next().await.is_some() {}
}

async fn run(engine: Engine, fault: Fault, mut random: StdRng) {
    let mut fleet = Fleet::start(engine, 3, PLAN, &[]).await;
    fleet.resume();
    // The steps take about 8 s.
    let calls = random.random_range(1..700);
    fleet.replicas[0].load.wait_for(|answers| answers.complete() >= calls).await;

    let driver = fleet.driver().await;
    let is_paused_first = random.random();
    println!("after {calls} calls, with the load paused first: {is_paused_first}");
    let mut unknown = 0;
    match fault {
        Fault::KilledDriver | Fault::KilledReplica => {
            let other = (driver + random.random_range(1..3)) % 3;
            let killed = if matches!(fault, Fault::KilledDriver) { driver } else { other };
            // A replica that is killed before its first publication is never known.
            fleet.wait_for_sentence("3 of 3 replicas heard").await;
            if is_paused_first {
                fleet.pause().await;
                fleet.wait_for_exact_evidence().await;
            }
            // The driver already shows evidence that it has not stored, and that would be lost with it.
            let stored =
                fleet.views().await.iter().filter_map(evidence).map(|it| it.0 + it.1).min();
            fleet.kill(killed).await;
            unknown = fleet.answers().complete() - stored.unwrap_or_default();
            fleet.join().await;
            fleet.resume();
            fleet.wait_for_sentence("3 of 4 replicas heard").await;
        }
        Fault::KilledEngine => {
            fleet.engine.kill();
            // Longer than a beat.
            let answered = fleet.replicas[0].load.answers().complete();
            let more = random.random_range(1..500);
            fleet.replicas[0].load.wait_for(|it| it.complete() >= answered + more).await;
            fleet.engine.restart();
        }
        Fault::FrozenDriver => {
            fleet.replicas[driver].load.pause().await;
            fleet.signal(driver, Signal::STOP);
            let frozen = fleet.replicas.remove(driver);
            // If it holds the lock of the directory, no other process can write until it wakes.
            let is_locked = |view: &Value| view["summary"].to_string().contains("canary.lock");
            fleet
                .wait_until("another drives, or the store is locked", |views| {
                    replicas::driver(views).is_some() || views.iter().any(is_locked)
                })
                .await;
            fleet.replicas.push(frozen);
            fleet.signal(fleet.replicas.len() - 1, Signal::CONT);
            fleet.resume();
        }
    }

    fleet
        .wait_until("all have the last weight", |views| {
            views.iter().all(|view| view["weight"] == "50%")
        })
        .await;
    fleet.pause().await;
    let answers = fleet.answers();
    assert_eq!(answers.failed, 0, "{answers:?}");
    let has_killed = matches!(fault, Fault::KilledDriver | Fault::KilledReplica);
    let most_broken = u64::from(has_killed);
    assert!(answers.broken <= most_broken, "only the call of a killed replica: {answers:?}");
    if is_paused_first || !has_killed {
        fleet.wait_for_exact_evidence().await;
    } else {
        // The last calls of a killed replica, which it has not published, are lost.
        let all = answers.complete();
        fleet
            .wait_until(&format!("the evidence is of {all} calls, less {unknown}"), |views| {
                let judged = views.iter().map(|view| evidence(view).map_or(0, |it| it.0 + it.1));
                let judged: Vec<_> = judged.collect();
                judged.iter().all(|it| *it == judged[0] && (all - unknown..=all).contains(it))
            })
            .await;
    }
    for index in 0..fleet.replicas.len() {
        let events = fleet.events(index).await;
        let steps: Vec<_> = events
            .iter()
            .filter(|event| event["kind"] == "step_begun")
            .map(|event| event["weight"].as_str().unwrap())
            .collect();
        assert_eq!(steps, ["10%", "20%", "30%", "40%", "50%"], "{events:#?}");
        let numbers = events.iter().map(|event| number(event["id"].as_str().unwrap()));
        assert!(numbers.eq(1..=events.len()), "{events:#?}");
    }
}

/// Returns the number of an event.
fn number(id: &str) -> usize {
    id.split_once('-').unwrap().0.parse().unwrap()
}

/// The number of fleets at the same time that leave the cores of a small machine some rest.
const PARALLEL_FLEETS: usize = 6;

const PLAN: &str = r#"
steps = [
    { weight = "10%", min_duration = "2s", min_calls = 1, deadline = "5m" },
    { weight = "20%", min_duration = "2s", min_calls = 1, deadline = "5m" },
    { weight = "30%", min_duration = "2s", min_calls = 1, deadline = "5m" },
    { weight = "40%", min_duration = "2s", min_calls = 1, deadline = "5m" },
    { weight = "50%", min_duration = "10h", min_calls = 1, deadline = "20h" },
]
monitors = [{ measure = "failures" }]
"#;
