//! Who comes first, when several act at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use canary_controller::{Clock, CommandError, Controller, RolloutHandle};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Order, Phase};
use futures_util::FutureExt;
use tokio::time::{Duration, sleep};

use crate::{
    support::test_store::{Mood, TestStore},
    support::{Shop, clock, controller, managed, second, tick, until},
};

const PLAN: &str = r#"
steps = [{ weight = "10%", min_duration = "1h", min_calls = 100 }, { weight = "50%", min_duration = "1h", min_calls = 100 }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

fn order(command: Command) -> Order {
    Order::new(command, Actor::person("ada"), "because")
}

async fn running(store: &TestStore, shop: &Shop) -> (Controller, RolloutHandle) {
    let controller = controller(store.clone());
    let rollout = controller.add(managed(shop, PLAN)).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    until(shop, &rollout, Phase::Running, 0).await;
    (controller, rollout)
}

/// Gives a command that is being stored until the returned task ends, half a second later.
async fn being_stored(
    store: &TestStore,
    rollout: &RolloutHandle,
    command: Command,
) -> tokio::task::JoinHandle<Result<canary_rollout::Transition, CommandError>> {
    store.slow_down();
    let rollout = rollout.clone();
    let task = tokio::spawn(async move { rollout.command(order(command)).await });
    sleep(Duration::from_millis(100)).await;
    assert!(!task.is_finished());
    task
}

#[tokio::test(start_paused = true)]
async fn a_rollback_while_a_raise_is_stored_wins() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    let raise = being_stored(&store, &rollout, Command::SkipStep).await;
    let back = rollout.command(order(Command::RollBack));
    tokio::pin!(back);
    assert!(back.as_mut().now_or_never().is_none());
    let epochs = shop.canary.counts().epochs.len();
    raise.await.unwrap().unwrap();
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    back.await.unwrap();
    tick(&shop).await;
    assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);
    assert_eq!(store.stored().await.unwrap().0.phase(), Phase::RolledBack);
    let counts = shop.canary.counts();
    assert!(counts.epochs.iter().skip(epochs).all(|epoch| epoch.weight == Weight::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_whose_future_is_dropped_is_done_and_stored() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    let raise = being_stored(&store, &rollout, Command::SkipStep).await;
    {
        let back = rollout.command(order(Command::RollBack));
        tokio::pin!(back);
        assert!(back.as_mut().now_or_never().is_none());
        let pause = rollout.command(order(Command::Halt));
        drop(pause);
    }
    raise.await.unwrap().unwrap();
    sleep(Duration::from_secs(3)).await;
    let stored = store.stored().await.unwrap().0;
    assert_eq!(stored.phase(), Phase::RolledBack);
    let last = stored.history().last().unwrap().clone();
    assert_eq!((last.by, last.reason.as_str()), (Actor::person("ada"), "because"));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_nobody_waits_for_any_more_is_not_begun() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    let pause = being_stored(&store, &rollout, Command::Pause).await;
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
async fn the_guard_takes_back_what_is_promoted_while_it_speaks() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    shop.fail_canary(1000);
    let promotion = being_stored(&store, &rollout, Command::PromoteFully).await;
    shop.calls(300).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO, "the guard has spoken");
    promotion.await.unwrap().unwrap();
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    sleep(Duration::from_secs(3)).await;
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::RolledBack, "{}", status.summary);
    assert_eq!(status.rollout.history().last().unwrap().by, Actor::Judge);
    assert_eq!(shop.canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_guard_of_an_earlier_attempt_is_not_heard() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let (_controller, rollout) = running(&store, &shop).await;
    shop.fail_canary(1000);
    let restart = being_stored(&store, &rollout, Command::Restart).await;
    // The weight is zero by now: the calls under way fail late.
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
async fn code_that_lowers_the_weight_while_a_raise_is_stored_wins() {
    for (percent, phase) in [(0, Phase::RolledBack), (4, Phase::Paused)] {
        let (store, shop) = (TestStore::new(), Shop::new("v2"));
        let (_controller, rollout) = running(&store, &shop).await;
        let raise = being_stored(&store, &rollout, Command::SkipStep).await;
        let weight = Weight::from_percent(percent);
        shop.canary.set_weight(weight).unwrap();
        raise.await.unwrap().unwrap();
        assert_eq!(shop.canary.weight(), weight);
        sleep(Duration::from_secs(3)).await;
        assert_eq!(rollout.status().rollout.phase(), phase);
        assert_eq!(shop.canary.weight(), weight);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_when_the_controller_stops_is_stored_if_it_goes_back() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let (controller, rollout) = running(&store, &shop).await;
    let raise = being_stored(&store, &rollout, Command::SkipStep).await;
    let back = rollout.command(order(Command::RollBack));
    tokio::pin!(back);
    assert!(back.as_mut().now_or_never().is_none());
    controller.stop().await;
    raise.await.unwrap().unwrap();
    back.await.unwrap();
    assert_eq!(store.stored().await.unwrap().0.phase(), Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn what_the_guard_did_when_the_controller_stops_is_stored() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let (controller, rollout) = running(&store, &shop).await;
    shop.fail_canary(1000);
    shop.calls(300).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    assert_eq!(rollout.status().rollout.phase(), Phase::Running);
    controller.stop().await;
    assert_eq!(store.stored().await.unwrap().0.phase(), Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn many_commands_do_not_keep_the_judge_from_looking() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
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
    // Time does not pass by itself while somebody is busy.
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
async fn a_panic_leaves_the_weight_the_guard_and_an_error() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
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
    let said = errors.lock().unwrap().join("\n");
    assert!(
        said.contains("the controller of this canary has panicked and stopped, the weight stays: the clock is broken")
    );
    assert_eq!(shop.canary.weight(), Weight::from_percent(10));
    let error = rollout.command(order(Command::RollBack)).await.unwrap_err();
    assert!(matches!(error, CommandError::Stopped), "{error}");
    assert_eq!(shop.canary.weight(), Weight::ZERO, "a rollback works all the same");

    panics.store(false, Ordering::Relaxed);
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    tick(&shop).await;
    assert!(rollout.is_running(), "another takes its place");
    store.be(Mood::Well);
}
