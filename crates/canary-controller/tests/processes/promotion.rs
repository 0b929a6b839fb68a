//! A promotion is atomic: whenever the process is killed, the next one finds the canary and its
//! variables either promoted or not.

use std::{convert::Infallible, path::PathBuf};

use canary_controller::{Controller, Managed, RolloutHandle, store::FileStore};
use canary_core::{Channel, Weight};
use canary_rollout::{Actor, Command, Order, Phase, Plan};
use http::{Request, Response};
use tower_canary::{CanaryHandle, CanaryLayer, CanaryOptions, SplitMode, Variables};

use super::child::{Process, Task, print};

const PLAN: &str = r#"steps = [{ weight = "10%", min_duration = "1h" }]"#;

fn layer() -> CanaryHandle {
    let v2 = tower::service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(())));
    let stage = Variables::new().with("database", "old").with("limit", 7);
    let overrides = Variables::new().with("database", "new");
    let options =
        CanaryOptions::new().stable_release("v1").canary_release("v2").variables(stage, overrides);
    CanaryLayer::with_options("shop", v2, options).handle()
}

async fn begin(directory: PathBuf) -> (Controller, CanaryHandle, RolloutHandle) {
    let store = FileStore::open(directory).await.unwrap();
    let (controller, canary) = (Controller::new(store), layer());
    let plan = Plan::from_toml(PLAN).unwrap();
    let rollout = controller.add(Managed::new(canary.clone(), plan)).unwrap();
    rollout.watch().wait_for(|status| status.load_error.is_none()).await.unwrap();
    (controller, canary, rollout)
}

/// The task of the killed process: promotes, prints a line, and waits.
pub(super) async fn promote(directory: PathBuf) {
    let (_controller, canary, rollout) = begin(directory).await;
    assert_eq!(canary.weight(), Weight::from_percent(10));
    // The stop points count from here.
    let order = Order::new(Command::PromoteFully, Actor::person("ada"), "");
    rollout.command(order).await.unwrap();
    print("promoted");
    std::future::pending::<()>().await;
}

fn database(canary: &CanaryHandle) -> (String, String) {
    let of = |variables: Variables| variables.read::<String>("database").unwrap();
    (of(canary.stage_variables()), of(canary.variables(Channel::Canary)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_is_atomic_wherever_the_process_is_killed() {
    const POINTS: [&str; 9] = [
        "Locked",
        "TemporaryCreated",
        "TemporaryHalfWritten",
        "TemporaryWritten",
        "TemporarySynced",
        "Renamed",
        "DirectorySynced",
        "EventHalfWritten",
        "EventSynced",
    ];
    let (mut kills, mut promotions) = (0, 0);
    for point in POINTS {
        // The evidence, the rollout, the event, and any later write.
        for pass in 1..=4 {
            let directory = tempfile::tempdir().unwrap();
            let (controller, _, rollout) = begin(directory.path().to_owned()).await;
            rollout.start(Actor::person("ada"), "").await.unwrap();
            controller.stop().await;

            let stop_at = format!("{point}:{pass}");
            let mut process = Process::start(Task::Promote, directory.path(), Some(&stop_at));
            let mut is_acknowledged = false;
            loop {
                let line = process.next_line().expect("the process waits until it is killed");
                is_acknowledged |= line == "promoted";
                if line == "promoted" || line == "stopped" {
                    break;
                }
            }
            process.kill();
            kills += 1;

            // Twice, because loading a promotion must be idempotent.
            for _ in 0..2 {
                let (controller, canary, rollout) = begin(directory.path().to_owned()).await;
                let phase = rollout.status().rollout.phase();
                let variables = database(&canary);
                if phase == Phase::Promoted {
                    promotions += 1;
                    assert_eq!(canary.mode(), SplitMode::Promoted, "{stop_at}");
                    assert_eq!(canary.weight(), Weight::FULL, "{stop_at}");
                    assert_eq!(variables, ("new".into(), "new".into()), "{stop_at}");
                } else {
                    assert_eq!(phase, Phase::Running, "{stop_at}");
                    assert!(!is_acknowledged, "{stop_at}: an acknowledged promotion is stored");
                    assert_eq!(canary.mode(), SplitMode::Splitting, "{stop_at}");
                    assert_eq!(canary.weight(), Weight::from_percent(10), "{stop_at}");
                    assert_eq!(variables, ("old".into(), "new".into()), "{stop_at}");
                }
                controller.stop().await;
            }

            // A rollback restores the variables of stable.
            let (controller, canary, rollout) = begin(directory.path().to_owned()).await;
            rollout.roll_back(Actor::person("ada"), "").await.unwrap();
            assert_eq!(canary.weight(), Weight::ZERO, "{stop_at}");
            assert_eq!(database(&canary), ("old".into(), "new".into()), "{stop_at}");
            controller.stop().await;
        }
    }
    assert!(promotions > 20 && promotions < 2 * kills, "{promotions} of {kills} kills");
    println!("{kills} kills, {} of them after the promotion was stored", promotions / 2);
}
