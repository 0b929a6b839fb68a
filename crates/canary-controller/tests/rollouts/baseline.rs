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
    for gone in [0, 1] {
        let store = MemoryStore::new();
        let shops = [shop(), shop()];
        let mut controllers = vec![controller(store.clone()), controller(store.clone())];
        for (controller, shop) in controllers.iter().zip(&shops) {
            controller.add(managed(shop, PLAN)).unwrap();
        }
        minutes(&shops, 10).await;
        let saved = saves(&store).await;
        assert!((8..=10).contains(&saved), "{saved} saves in ten minutes");

        // If the one dies, the other goes on after three minutes.
        drop(controllers.remove(gone));
        minutes(&shops, 10).await;
        let saved = saves(&store).await - saved;
        assert!((6..=10).contains(&saved), "{saved} saves in ten minutes without process {gone}");
    }
}

async fn minutes(shops: &[Shop; 2], minutes: u64) {
    for _ in 0..60 * minutes {
        shops[0].calls(2).await;
        second(&shops[1], 2).await;
    }
}

async fn saves(store: &MemoryStore) -> u64 {
    let document = store.load(&rollout_key().evidence()).await.unwrap().unwrap().document;
    let evidence: serde_json::Value = serde_json::from_str(document.as_str()).unwrap();
    evidence["beat"].as_u64().unwrap()
}
