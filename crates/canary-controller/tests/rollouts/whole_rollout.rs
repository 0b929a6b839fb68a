//! Whole rollouts, from the start to a promotion or rollback.

use canary_controller::store::MemoryStore;
use canary_core::Weight;
use canary_rollout::{Actor, Phase};

use crate::support::{Shop, controller, managed, second, until};

const PLAN: &str = r#"
steps = [
    { weight = "1%", min_duration = "1m", min_calls = 20 },
    { weight = "10%", min_duration = "1m", min_calls = 100 },
    { weight = "50%", min_duration = "1m", min_calls = 100 },
]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
bake = { duration = "5m" }
"#;

#[tokio::test(start_paused = true)]
async fn a_healthy_canary_is_promoted() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    rollout.start(Actor::person("ada"), "v2 is built").await.unwrap();
    until(&shop, &rollout, Phase::Running, 100).await;
    until(&shop, &rollout, Phase::Baking, 100).await;
    assert_eq!(shop.canary.weight(), "99%".parse().unwrap());
    until(&shop, &rollout, Phase::Promoted, 100).await;
    assert_eq!(shop.canary.mode(), tower_canary::SplitMode::Promoted);
    for event in rollout.status().rollout.history() {
        println!("{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_canary_is_rolled_back() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    shop.fail_canary(100);
    rollout.start(Actor::person("ada"), "v2 is built").await.unwrap();
    until(&shop, &rollout, Phase::RolledBack, 100).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    println!("{}", rollout.status().summary);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_starts_to_fail_during_the_bake_is_rolled_back() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    until(&shop, &rollout, Phase::Baking, 100).await;
    second(&shop, 100).await;
    shop.fail_canary(300);
    until(&shop, &rollout, Phase::RolledBack, 100).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    println!("{}", rollout.status().summary);
}
