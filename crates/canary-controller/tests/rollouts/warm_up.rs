//! A cold canary is left out of the comparison, and the status says so.

use std::time::Duration;

use canary_controller::store::MemoryStore;
use canary_rollout::{Command, Phase};

use crate::support::{Shop, controller, managed, order, second, until};

const PLAN: &str = "
warm_up = '2m'
monitors = [{ measure = 'failures' }]
steps = [{ weight = '10%', min_calls = 10 }]
";

#[tokio::test(start_paused = true)]
async fn a_cold_canary_is_not_rolled_back_and_the_status_says_that_it_warms_up() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    rollout.command(order(Command::Start)).await.unwrap();

    shop.fail_canary(300);
    for _ in 0..60 {
        second(&shop, 100).await;
    }
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::Running);
    assert!(status.summary.contains(": the canary's warm-up, "), "{}", status.summary);
    let left = status.judgment.warm_up_left().unwrap();
    let expected = Duration::from_secs(55)..=Duration::from_secs(65);
    assert!(expected.contains(&left), "the driver passes the real time: {left:?}");
    let judgment = status.judgment.to_string();
    assert!(judgment.contains("; the canary is warming up, its calls count in "), "{judgment}");

    shop.fail_canary(0);
    until(&shop, &rollout, Phase::Promoted, 100).await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_every_call_is_rolled_back_while_it_warms_up() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    rollout.command(order(Command::Start)).await.unwrap();

    shop.fail_canary(1_000);
    until(&shop, &rollout, Phase::RolledBack, 20).await;
    let failed = rollout.status().judgment.findings[0].adverse.canary;
    assert!((8..=15).contains(&failed), "{failed}");
}
