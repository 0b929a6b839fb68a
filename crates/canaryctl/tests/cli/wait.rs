use canary_controller::Phase;
use serde_json::Value;

use crate::support::{Ended, PLAN_WITH_GATE, Running, Shop, ada};

/// Starts to wait, and returns once the process has seen the rollout.
async fn waiting(shop: &Shop, line: &str) -> Running {
    let mut wait = shop.ctl(line).start();
    wait.notes("shop").await;
    wait
}

/// Returns the last line of the output.
fn last(ended: &Ended) -> &str {
    ended.stdout.lines().last().unwrap_or_default()
}

#[tokio::test]
async fn a_promotion_ends_with_0() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let wait = waiting(&shop, "wait").await;
    shop.rollout.promote_fully(ada(), "fine").await.unwrap();
    let ended = wait.end().await.expect(0);
    assert!(last(&ended).contains("shop v2: "), "{ended:?}");
    // A later wait ends at once.
    shop.ctl("wait shop --release v2").run().await.expect(0);
    let ended = shop.ctl("wait --for decided -o json").run().await.expect(0);
    let json: Value = ended.json();
    assert_eq!((&json["outcome"], &json["exit"]), (&"reached".into(), &0.into()));
    assert_eq!(json["canary"]["phase"], "promoted");
}

#[tokio::test]
async fn a_rollback_and_a_halt_end_with_2() {
    for halts in [false, true] {
        let shop = Shop::new().await;
        shop.begin(Phase::Running).await;
        let wait = waiting(&shop, "wait --for step=2").await;
        match halts {
            false => shop.rollout.roll_back(ada(), "wrong totals").await.unwrap(),
            true => shop.rollout.halt(ada(), "wrong totals").await.unwrap(),
        };
        let ended = wait.end().await.expect(2);
        assert!(ended.stdout.contains("wrong totals"), "{ended:?}");
        let json: Value = shop.ctl("wait -o json").run().await.expect(2).json();
        assert_eq!(json["outcome"], "rolled_back");
    }
}

/// The state that ends the wait can be over before the next view.
#[tokio::test]
async fn a_rollback_counts_even_if_a_new_start_follows_at_once() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let wait = waiting(&shop, "wait").await;
    shop.rollout.roll_back(ada(), "").await.unwrap();
    shop.rollout.start(ada(), "").await.unwrap();
    wait.end().await.expect(2);
}

/// After the events were lost, the server sends the latest ones that it has.
#[tokio::test]
async fn a_rollback_before_the_wait_does_not_end_it() {
    let mut other = Shop::new().await;
    other.begin(Phase::Running).await;
    other.rollout.roll_back(ada(), "an old story").await.unwrap();
    other.rollout.start(ada(), "better").await.unwrap();
    other.stop().await;

    let mut shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let mut wait = waiting(&shop, "wait").await;
    shop.stop().await;
    shop.take_state(&mut other);
    shop.start_again("v2").await;
    wait.notes("some events are no longer stored").await;
    shop.rollout.promote_fully(ada(), "fine").await.unwrap();
    let ended = wait.end().await.expect(0);
    assert!(!ended.stdout.contains("an old story"), "{ended:?}");
}

#[tokio::test]
async fn a_person_who_is_needed_ends_with_3() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let wait = waiting(&shop, "wait").await;
    shop.rollout.pause(ada(), "lunch").await.unwrap();
    wait.end().await.expect(3);
    shop.ctl("wait --for step=1").run().await.expect(0);
    shop.ctl("wait --for step=2").run().await.expect(3);

    let shop = Shop::with_plan(PLAN_WITH_GATE).await;
    shop.begin(Phase::Starting).await;
    shop.until_gate_waits().await;
    let ended = shop.ctl("wait").run().await.expect(3);
    assert!(last(&ended).ends_with("to go on: canaryctl approve shop owner"), "{ended:?}");
    shop.ctl("wait --for paused").run().await.expect(0);
    shop.ctl("wait --for step=1").run().await.expect(3);
}

#[tokio::test]
async fn the_end_of_the_time_ends_with_4() {
    let shop = Shop::new().await;
    let ended = shop.ctl("wait --timeout 300ms").run().await.expect(4);
    assert!(last(&ended).starts_with("the time is over; "), "{ended:?}");
    let ended = shop.ctl("wait --timeout 300ms --release v9").run().await.expect(4);
    assert!(last(&ended).contains("the canary is v2; waiting for v9"), "{ended:?}");
}

#[tokio::test]
async fn decided_waits_while_a_person_decides() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let mut wait = waiting(&shop, "wait --for decided").await;
    shop.rollout.pause(ada(), "lunch").await.unwrap();
    wait.prints("ada paused").await;
    shop.rollout.promote_fully(ada(), "fine").await.unwrap();
    wait.end().await.expect(0);
}

#[tokio::test]
async fn a_step_and_a_pause_are_reached() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let wait = waiting(&shop, "wait --for step=2").await;
    shop.rollout.skip_step(ada(), "").await.unwrap();
    wait.end().await.expect(0);
    let wait = waiting(&shop, "wait --for paused").await;
    shop.rollout.pause(ada(), "").await.unwrap();
    wait.end().await.expect(0);
}

/// A pipeline waits for the release that it has just deployed, while the server still has the old one.
#[tokio::test]
async fn the_release_appears_with_a_restart() {
    let mut shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    shop.rollout.roll_back(ada(), "old").await.unwrap();
    let mut wait = waiting(&shop, "wait --release v3").await;
    shop.stop().await;
    wait.notes("not live: ").await;
    shop.start_again("v3").await;
    wait.notes("live again").await;
    shop.begin(Phase::Running).await;
    // The server restarts once more in the middle of the rollout.
    shop.stop().await;
    shop.start_again("v3").await;
    shop.until(Phase::Running).await;
    shop.rollout.promote_fully(ada(), "fine").await.unwrap();
    let ended = wait.end().await.expect(0);
    assert!(last(&ended).contains("shop v3: "), "{ended:?}");
}

#[tokio::test]
async fn another_release_ends_with_5() {
    let mut shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let wait = waiting(&shop, "wait").await;
    shop.stop().await;
    shop.start_again("v3").await;
    let ended = wait.end().await.expect(5);
    assert!(last(&ended).contains("shop: the canary is v3 now, not v2"), "{ended:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let mut shop = Shop::new().await;
    shop.stop().await;
    let mut wait = shop.ctl("wait --for step=1").start();
    wait.notes("connection refused").await;
    shop.start_again("v2").await;
    shop.begin(Phase::Running).await;
    wait.end().await.expect(0);
    let ended = shop.ctl("wait shpo").run().await.expect(1);
    assert!(ended.stderr.contains("canary \"shpo\": expected shop"), "{ended:?}");
}
