//! The evidence behind the events of a rollout.

use canary_controller::store::MemoryStore;
use canary_core::Verdict;
use canary_rollout::{Actor, Command, Phase};

use crate::support::{Shop, controller, managed, order, second, until};

const PLAN: &str = r#"
steps = [{ weight = "20%", min_calls = 20 }, { weight = "50%", min_calls = 20 }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

#[tokio::test(start_paused = true)]
async fn each_decision_is_replayed_to_the_verdict_of_its_event() {
    let store = MemoryStore::new();
    for (failing, end) in [(0, Phase::Promoted), (500, Phase::RolledBack)] {
        let shop = Shop::new(if failing == 0 { "v2" } else { "v3" });
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, PLAN)).unwrap();
        second(&shop, 0).await;
        rollout.command(order(Command::Start)).await.unwrap();
        until(&shop, &rollout, Phase::Running, 0).await;
        second(&shop, 10).await;
        shop.fail_canary(failing);
        until(&shop, &rollout, end, 20).await;

        let history = rollout.history(100).await.unwrap();
        let decided: Vec<_> = history.iter().filter(|event| !event.evidence.is_empty()).collect();
        assert!(!decided.is_empty());
        for event in decided {
            let decision = rollout.decision(&event.id()).await.unwrap().unwrap();
            assert_eq!(decision.event, *event);
            let judgment = decision.replay().unwrap();
            assert_eq!(judgment.verdict, event.verdict, "{event}");
            // The guard has words of its own.
            let is_of_guard = event.evidence.contains("tripped the guard");
            let is_same = event.evidence.starts_with(&judgment.to_string());
            assert!(is_of_guard || is_same, "{event}: {judgment}");
            assert_eq!(decision.judgment, serde_json::to_value(&judgment).unwrap());
        }
        let last = history.last().unwrap();
        let expected = if failing == 0 { Verdict::Healthy } else { Verdict::Degraded };
        assert_eq!((&last.by, last.verdict), (&Actor::Judge, expected), "{last}");

        // A command has no evidence.
        let command = history.iter().find(|event| event.by == Actor::person("ada")).unwrap();
        assert!(rollout.decision(&command.id()).await.unwrap().is_none());
        controller.stop().await;
    }
}
