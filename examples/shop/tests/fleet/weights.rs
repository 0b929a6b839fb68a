//! A weight that an operator sets at one replica arrives at all.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;
use tokio::time::{interval, timeout};

use super::{engine::Kind, replicas::Fleet, support::TIMEOUT};

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_reaches_all_replicas_with_a_directory() {
    weights_arrive(Kind::Directory, Duration::from_millis(250)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_reaches_all_replicas_with_etcd() {
    weights_arrive(Kind::Etcd, Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_reaches_all_replicas_with_postgres() {
    weights_arrive(Kind::Postgres, Duration::from_millis(100)).await;
}

/// Sets weights at each replica in turn, and measures how long it takes from the response until the
/// last replica has the weight.
async fn weights_arrive(kind: Kind, goal: Duration) {
    let Some(engine) = kind.start("weights arrive") else { return };
    let fleet = Fleet::start(engine, 3, PLAN, &[]).await;
    let mut delays = Vec::new();
    for number in 0..rounds() {
        let (weight, replica) = (format!("{}%", 20 + number % 50), number % fleet.replicas.len());
        let command = json!({"command": "set_weight", "weight": weight});
        // A store on a busy machine can be too slow. Then nothing has changed.
        let set = async {
            while fleet.replicas[replica].shop.command(&command).await.status != StatusCode::OK {}
        };
        timeout(TIMEOUT, set).await.expect("the store should have time");
        let stored = Instant::now();
        let mut poll = interval(Duration::from_millis(1));
        let arrived = async {
            for replica in &fleet.replicas {
                while replica.shop.view().await["weight"] != weight {
                    poll.tick().await;
                }
            }
        };
        timeout(TIMEOUT, arrived).await.expect("the weight should arrive");
        delays.push(stored.elapsed());
    }
    delays.sort();
    let (p50, p99) = (delays[delays.len() / 2], delays[delays.len() * 99 / 100]);
    println!("a weight reaches all after {p50:?} (median), {p99:?} (p99)");
    // Other tests share the cores. The run with many rounds is for a quiet machine.
    let limit = if rounds() >= 100 { goal } else { 20 * goal };
    assert!(p99 <= limit, "{delays:?}");
}

fn rounds() -> usize {
    super::rounds(20)
}

const PLAN: &str = r#"
steps = [
    { weight = "10%", min_duration = "10h", deadline = "20h" },
    { weight = "90%", min_duration = "10h", deadline = "20h" },
]
monitors = [{ measure = "failures" }]
"#;
