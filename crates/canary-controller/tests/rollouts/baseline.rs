//! What the judge learns about stable while no rollout runs.

use canary_controller::{RolloutHandle, store::MemoryStore};
use canary_rollout::{Command, Phase};

use crate::support::{Shop, controller, managed, order, second, until};

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

    for is_restarted in [false, true] {
        let store = MemoryStore::new();
        let mut shop = shop();
        let mut controller = controller(store.clone());
        let mut rollout = controller.add(managed(&shop, PLAN)).unwrap();
        for _ in 0..700 {
            second(&shop, 40).await;
        }
        if is_restarted {
            controller.stop().await;
            shop = self::shop();
            controller = crate::support::controller(store);
            rollout = controller.add(managed(&shop, PLAN)).unwrap();
            second(&shop, 40).await;
        }
        let seconds = until_promoted(&shop, &rollout).await;
        assert!(
            seconds < without / 2,
            "restarted: {is_restarted}, {seconds} s, {without} s without"
        );
    }
}
