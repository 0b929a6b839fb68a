//! Rollouts without steps: an operator sets the weight.

use canary_controller::{Controller, Managed, RolloutHandle, store::MemoryStore};
use canary_core::{Verdict, Weight};
use canary_rollout::{
    Actor, Command, Phase, Plan,
    variables::{VariablePatch, VariablePatches},
};

use crate::support::{Shop, controller, order, second, tick};

async fn start(store: &MemoryStore, shop: &Shop) -> (Controller, RolloutHandle) {
    let controller = controller(store.clone());
    let rollout = controller.add(Managed::by_hand(shop.canary.clone())).unwrap();
    tick(shop).await;
    (controller, rollout)
}

fn ada() -> Actor {
    Actor::person("ada")
}

#[tokio::test(start_paused = true)]
async fn a_weight_by_hand_survives_a_restart_with_history_evidence_and_variables() {
    let store = MemoryStore::new();
    let first = Shop::new("v2");
    let (controller_of_first, rollout) = start(&store, &first).await;
    rollout.set_weight(ada(), "10.0001%".parse().unwrap(), "a first look").await.unwrap();
    let patch = VariablePatch::new().set("backend", "b2");
    let patches = VariablePatches::of_overrides(patch);
    rollout.set_variables(ada(), patches.clone(), "its own backend").await.unwrap();
    for _ in 0..30 {
        second(&first, 50).await;
    }
    let calls = rollout.status().judgment.findings[0].calls;
    assert!(calls.canary > 0);
    controller_of_first.stop().await;

    let second_shop = Shop::new("v2");
    let (_controller, rollout) = start(&store, &second_shop).await;
    let status = rollout.status();
    assert_eq!(second_shop.canary.weight(), "10.0001%".parse().unwrap());
    assert_eq!(status.rollout.variables(), patches);
    assert!(status.judgment.findings[0].calls.canary >= calls.canary);
    assert!(status.summary.starts_with("by hand at 10.0001%"), "{}", status.summary);
    let kinds: Vec<_> = status.rollout.history().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["started", "weight_set", "variables_set"]);

    rollout.command(order(Command::Promote)).await.unwrap();
    assert_eq!(second_shop.canary.weight(), Weight::FULL);
    rollout.roll_back(ada(), "wrong totals").await.unwrap();
    assert_eq!(second_shop.canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_failing_canary_is_reported_and_keeps_its_weight() {
    let shop = Shop::new("v2");
    let (_controller, rollout) = start(&MemoryStore::new(), &shop).await;
    rollout.set_weight(ada(), Weight::from_percent(50), "").await.unwrap();
    shop.fail_canary(1_000);
    for _ in 0..60 {
        second(&shop, 50).await;
    }
    let status = rollout.status();
    assert_eq!(status.judgment.verdict, Verdict::Degraded);
    assert_eq!(shop.canary.weight(), Weight::from_percent(50));
    let reports =
        status.rollout.history().filter(|event| event.kind.as_str() == "found_degraded").count();
    assert_eq!(reports, 1);
}

#[tokio::test(start_paused = true)]
async fn the_judge_and_its_guard_decide_if_the_plan_asks_them() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let plan = Plan::from_toml("by_hand = true\non_degraded = 'roll_back'").unwrap();
    let rollout = controller.add(Managed::new(shop.canary.clone(), plan)).unwrap();
    tick(&shop).await;
    rollout.set_weight(ada(), Weight::from_percent(50), "").await.unwrap();
    shop.fail_canary(1_000);
    for _ in 0..60 {
        second(&shop, 50).await;
    }
    assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);
    assert_eq!(shop.canary.weight(), Weight::ZERO);
}
