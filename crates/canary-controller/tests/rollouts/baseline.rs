//! What the judge learns about stable while no rollout runs.

use canary_controller::{
    RolloutHandle,
    store::{MemoryStore, StateStore},
};
use canary_rollout::{Command, Phase};

use crate::support::{Shop, controller, managed, order, second, stored::rollout_key, until};

const PLAN: &str = r#"
steps = [{ weight = "50%", min_calls = 1 }]
monitors = [{ measure = "failures" }]
"#;

/// Both channels fail 2 % of the calls.
fn shop() -> Shop {
    let shop = Shop::new("v2");
    shop.failing
        .iter()
        .for_each(|permille| permille.store(20, std::sync::atomic::Ordering::Relaxed));
    shop
}

/// Starts the rollout, and returns the seconds until its promotion.
async fn until_promoted(shop: &Shop, rollout: &RolloutHandle) -> u64 {
    let begin = tokio::time::Instant::now();
    rollout.command(order(Command::Start)).await.unwrap();
    until(shop, rollout, Phase::Promoted, 40).await;
    begin.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_rollout_begins_with_what_stable_showed_before_also_after_a_restart() {
    // Without a time before the rollout, the canary is proven good after eleven minutes.
    let new = shop();
    let first = controller(MemoryStore::new());
    let rollout = first.add(managed(&new, PLAN)).unwrap();
    second(&new, 40).await;
    let without = until_promoted(&new, &rollout).await;
    assert!(without > 600, "{without} s");

    for end in [None, Some(End::Stop), Some(End::Kill)] {
        let store = MemoryStore::new();
        let mut shop = shop();
        let mut controller = controller(store.clone());
        let mut rollout = controller.add(managed(&shop, PLAN)).unwrap();
        for _ in 0..700 {
            second(&shop, 40).await;
        }
        if let Some(end) = &end {
            match end {
                End::Stop => controller.stop().await,
                End::Kill => drop(controller),
            }
            shop = self::shop();
            controller = crate::support::controller(store);
            rollout = controller.add(managed(&shop, PLAN)).unwrap();
            second(&shop, 40).await;
        }
        let seconds = until_promoted(&shop, &rollout).await;
        assert!(seconds < without / 2, "{end:?}: {seconds} s, {without} s without");
        drop(controller);
    }
}

/// The end of a process.
#[derive(Debug)]
enum End {
    Stop,
    Kill,
}

#[tokio::test(start_paused = true)]
async fn one_of_several_processes_stores_about_once_a_minute_what_it_learns() {
    let store = MemoryStore::new();
    let [one, other] = [shop(), shop()];
    let controllers = [controller(store.clone()), controller(store.clone())];
    let mut rollouts = Vec::new();
    for (controller, shop) in controllers.iter().zip([&one, &other]) {
        rollouts.push(controller.add(managed(shop, PLAN)).unwrap());
    }
    for _ in 0..600 {
        one.calls(40).await;
        second(&other, 40).await;
    }
    let key = rollout_key().evidence();
    let document = store.load(&key).await.unwrap().unwrap().document;
    let evidence: serde_json::Value = serde_json::from_str(document.as_str()).unwrap();
    let saves = evidence["beat"].as_u64().unwrap();
    assert!((8..=10).contains(&saves), "{saves} saves in ten minutes");
}
