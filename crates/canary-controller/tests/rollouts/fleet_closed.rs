//! Weights for whose counts an entry of the board has no room.

use std::collections::BTreeSet;

use canary_controller::store::{Document, StateStore, Swap};
use canary_core::Weight;
use canary_rollout::Command;
use serde_json::Value;

use crate::support::{
    process::{Process, seconds, sum},
    stored::{TestStore, rollout_key, test_store},
};

const PLAN: &str = r#"
warm_up = "0s"
steps = [
    { weight = "10%", min_duration = "1h", min_calls = 1 },
    { weight = "50%", min_duration = "1h", min_calls = 1 },
]
monitors = [{ measure = "failures" }]
"#;

async fn replicas(store: &TestStore) -> BTreeSet<String> {
    let entries = store.inner().list(&rollout_key().board()).await.unwrap();
    entries.iter().map(|entry| entry.key.name().to_owned()).collect()
}

/// Publishes the entry of a replica again, which has no room for the counts at this weight.
async fn close(store: &TestStore, replica: &str, weight: Weight) {
    let entries = store.inner().list(&rollout_key().board()).await.unwrap();
    let entry = entries.into_iter().find(|entry| entry.key.name() == replica).unwrap();
    let found = entry.document.unwrap();
    let mut sign: Value = serde_json::from_str(found.document.as_str()).unwrap();
    sign["beat"] = (sign["beat"].as_u64().unwrap() + 1).into();
    sign["closed"] = vec![weight.ppm()].into();
    let document = Document::try_new(serde_json::to_vec(&sign).unwrap()).unwrap();
    let revision = Some(&found.revision);
    let swap = store.inner().compare_and_swap(&entry.key, revision, &document).await.unwrap();
    assert!(matches!(swap, Swap::Done(_)), "{swap:?}");
}

fn warning(process: &Process) -> String {
    process.rollout.status().sources.warning().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn calls_at_a_closed_weight_are_not_judged_until_the_next_attempt() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.command(Command::Start).await;
    let mut processes = vec![driver, Process::new(&store, PLAN).await];
    seconds(&processes, 6, 20).await;
    let before = replicas(&store).await;
    processes.push(Process::new(&store, PLAN).await);
    seconds(&processes, 6, 20).await;
    let crashed = replicas(&store).await.difference(&before).next().unwrap().clone();
    drop(processes.pop().unwrap().controller);
    processes[0].command(Command::SkipStep).await;
    close(&store, &crashed, Weight::from_percent(10)).await;
    seconds(&processes, 6, 20).await;
    seconds(&processes, 4, 0).await;
    let judged = processes[0].judged();
    assert!(judged.canary > 100, "{judged:?}");

    // An operator sets the closed weight again.
    let set_weight = |percent| Command::SetWeight { weight: Weight::from_percent(percent) };
    processes[0].command(set_weight(10)).await;
    let is_closed = "calls at weight 10% are not judged";
    for replaces_driver in [false, true] {
        if replaces_driver {
            drop(processes.remove(0).controller);
            processes.push(Process::new(&store, PLAN).await);
        }
        seconds(&processes, 12, 20).await;
        seconds(&processes, 4, 0).await;
        for process in &processes {
            assert_eq!(process.judged(), judged);
            assert!(warning(process).starts_with(is_closed), "{:?}", warning(process));
        }
    }

    let counted = |processes: &[Process]| sum(processes.iter().map(Process::counted)).canary;
    let before = counted(&processes);
    processes[0].command(set_weight(5)).await;
    seconds(&processes, 6, 20).await;
    seconds(&processes, 4, 0).await;
    for process in &processes {
        assert_eq!(process.judged().canary - judged.canary, counted(&processes) - before);
        assert_eq!(warning(process), "");
    }

    processes[0].command(Command::RollBack).await;
    let before = counted(&processes);
    processes[0].command(Command::Start).await;
    assert_eq!(processes[0].shop.canary.weight(), Weight::from_percent(10));
    seconds(&processes, 6, 20).await;
    seconds(&processes, 4, 0).await;
    for process in &processes {
        assert_eq!(process.judged().canary, counted(&processes) - before);
        assert_eq!(warning(process), "");
    }
}
