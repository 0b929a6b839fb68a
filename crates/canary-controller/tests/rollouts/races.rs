//! Races between commands, the guard, the application and the store.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use canary_controller::{Clock, CommandError, Controller, RolloutHandle};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Phase};
use futures_util::FutureExt;
use tokio::time::{Duration, sleep};

use crate::support::{
    Shop, clock, controller, managed, order, second,
    stored::{TestStore, stored, stored_phase, test_store},
    tick, until,
};

const PLAN: &str = r#"
steps = [{ weight = "10%", min_duration = "1h", min_calls = 100 }, { weight = "50%", min_duration = "1h", min_calls = 100 }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

async fn running(store: &TestStore, shop: &Shop) -> (Controller, RolloutHandle) {
    let controller = controller(store.clone());
    let rollout = controller.add(managed(shop, PLAN)).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    until(shop, &rollout, Phase::Running, 0).await;
    (controller, rollout)
}

/// Gives a command whose save takes half a second. The returned task ends with the command.
async fn slow_command(
    store: &TestStore,
    rollout: &RolloutHandle,
    command: Command,
) -> tokio::task::JoinHandle<Result<canary_rollout::Transition, CommandError>> {
    store.delay(Duration::from_millis(500));
    let rollout = rollout.clone();
    let task = tokio::spawn(async move { rollout.command(order(command)).await });
    sleep(Duration::from_millis(100)).await;
    assert!(!task.is_finished());
    task
}

#[tokio::test(start_paused = true)]
async fn a_rollback_during_the_save_of_a_raise_wins() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    let raise = slow_command(&store, &rollout, Command::SkipStep).await;
    let rollback = rollout.command(order(Command::RollBack));
    tokio::pin!(rollback);
    assert!(rollback.as_mut().now_or_never().is_none());
    let epochs = shop.canary.counts().epochs.len();
    raise.await.unwrap().unwrap();
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    rollback.await.unwrap();
    tick(&shop).await;
    assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);
    assert_eq!(stored_phase(&store).await, Phase::RolledBack);
    let counts = shop.canary.counts();
    assert!(counts.epochs.iter().skip(epochs).all(|epoch| epoch.weight == Weight::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_whose_future_is_dropped_is_stored() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    let raise = slow_command(&store, &rollout, Command::SkipStep).await;
    {
        let rollback = rollout.command(order(Command::RollBack));
        tokio::pin!(rollback);
        assert!(rollback.as_mut().now_or_never().is_none());
        let pause = rollout.command(order(Command::Halt));
        drop(pause);
    }
    raise.await.unwrap().unwrap();
    // A tick comes before the rollback. Both change several documents, each in half a second.
    sleep(Duration::from_secs(5)).await;
    let stored = stored(&store).await.unwrap().0;
    assert_eq!(stored.phase(), Phase::RolledBack);
    let last = stored.history().last().unwrap().clone();
    assert_eq!((last.by, last.reason.as_str()), (Actor::person("ada"), "because"));
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_future_is_dropped_in_the_queue_is_not_executed() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    let pause = slow_command(&store, &rollout, Command::Pause).await;
    {
        let resume = rollout.command(order(Command::Resume));
        tokio::pin!(resume);
        assert!(resume.as_mut().now_or_never().is_none());
    }
    pause.await.unwrap().unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(rollout.status().rollout.phase(), Phase::Paused);
}

#[tokio::test(start_paused = true)]
async fn a_trip_during_a_promotion_rolls_the_promotion_back() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    shop.fail_canary(1000);
    let promotion = slow_command(&store, &rollout, Command::PromoteFully).await;
    shop.calls(300).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO, "the guard has tripped");
    promotion.await.unwrap().unwrap();
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    sleep(Duration::from_secs(3)).await;
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::RolledBack, "{}", status.summary);
    assert_eq!(status.rollout.history().last().unwrap().by, Actor::Judge);
    assert_eq!(shop.canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_trip_of_an_earlier_attempt_is_ignored() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    shop.fail_canary(1000);
    let restart = slow_command(&store, &rollout, Command::Restart).await;
    // The weight is zero, but calls of the earlier attempt can still fail.
    shop.calls(300).await;
    shop.fail_canary(0);
    restart.await.unwrap().unwrap();
    for _ in 0..30 {
        second(&shop, 10).await;
    }
    assert_eq!(rollout.status().rollout.phase(), Phase::Running);
    assert_eq!(shop.canary.weight(), Weight::from_percent(10));
}

#[tokio::test(start_paused = true)]
async fn a_direct_lower_weight_during_the_save_of_a_raise_wins() {
    for (percent, phase) in [(0, Phase::RolledBack), (4, Phase::Paused)] {
        let (store, shop) = (test_store(), Shop::new("v2"));
        let (_controller, rollout) = running(&store, &shop).await;
        let raise = slow_command(&store, &rollout, Command::SkipStep).await;
        let weight = Weight::from_percent(percent);
        shop.canary.set_weight(weight).unwrap();
        raise.await.unwrap().unwrap();
        assert_eq!(shop.canary.weight(), weight);
        // Each save takes a second here, and one of the progress may be in the way.
        let mut status = rollout.watch();
        let follows = status.wait_for(|status| status.rollout.phase() == phase);
        tokio::time::timeout(Duration::from_secs(5), follows).await.unwrap().unwrap();
        assert_eq!(shop.canary.weight(), weight);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_in_the_queue_is_stored_when_the_controller_stops() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let (controller, rollout) = running(&store, &shop).await;
    let raise = slow_command(&store, &rollout, Command::SkipStep).await;
    let rollback = rollout.command(order(Command::RollBack));
    tokio::pin!(rollback);
    assert!(rollback.as_mut().now_or_never().is_none());
    controller.stop().await;
    raise.await.unwrap().unwrap();
    rollback.await.unwrap();
    assert_eq!(stored_phase(&store).await, Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_by_the_guard_is_stored_when_the_controller_stops() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let (controller, rollout) = running(&store, &shop).await;
    shop.fail_canary(1000);
    shop.calls(300).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    assert_eq!(rollout.status().rollout.phase(), Phase::Running);
    controller.stop().await;
    assert_eq!(stored_phase(&store).await, Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_commands_does_not_starve_the_judge() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..4 {
        let (rollout, stop) = (rollout.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let _ = rollout.command(order(Command::Start)).await;
                tokio::task::yield_now().await;
            }
        });
    }
    let before = rollout.status().judgment.clone();
    // Paused time does not advance by itself while tasks are busy.
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(1)).await;
        shop.calls(50).await;
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let after = rollout.status().judgment.clone();
    stop.store(true, Ordering::Relaxed);
    assert!(after.findings[0].calls.stable > before.findings[0].calls.stable);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_driver_keeps_the_weight_and_rollbacks_still_work() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let (panics, inner) = (Arc::new(AtomicBool::new(false)), clock());
    let clock = Clock::from_fn({
        let panics = Arc::clone(&panics);
        move || {
            assert!(!panics.load(Ordering::Relaxed), "the clock is broken");
            inner.now()
        }
    });
    let controller = Controller::new(store.clone()).clock(clock);
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    panics.store(true, Ordering::Relaxed);
    let (_guard, errors) = crate::support::logged(tracing::Level::ERROR);
    tick(&shop).await;
    assert!(!rollout.is_running());
    let logged = errors.lock().unwrap().join("\n");
    let message = "the controller of this canary has panicked and stopped, the weight stays";
    assert!(logged.contains(&format!("{message}: the clock is broken")), "{logged}");
    assert_eq!(shop.canary.weight(), Weight::from_percent(10));
    let error = rollout.command(order(Command::RollBack)).await.unwrap_err();
    assert!(matches!(error, CommandError::Stopped), "{error}");
    assert_eq!(shop.canary.weight(), Weight::ZERO);

    panics.store(false, Ordering::Relaxed);
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    tick(&shop).await;
    assert!(rollout.is_running(), "the name is free again");
    store.recover();
}
