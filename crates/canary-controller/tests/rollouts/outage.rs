//! Outages of the store: the weight does not rise, and every event is stored in the end.

use std::ops::Range;

use canary_controller::store::testing::StoreFault;
use canary_controller::{CommandError, RolloutHandle};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Phase};
use futures_util::FutureExt;
use tokio::time::{Duration, Instant};

use crate::support::{
    Shop, controller, managed, order, second,
    stored::{TestStore, stored, stored_events, stored_phase, stored_weight, test_store},
    tick, until,
};

const PLAN: &str = r#"
on_inconclusive = "advance"
steps = [
    { weight = "10%", min_duration = "5s", min_calls = 1, deadline = "15s" },
    { weight = "50%", min_duration = "5s", min_calls = 1, deadline = "15s" },
]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
bake = { duration = "5s", deadline = "15s" }
"#;

fn start(rollout: &RolloutHandle) -> impl Future<Output = ()> {
    let rollout = rollout.clone();
    async move { drop(rollout.start(Actor::person("ada"), "").await.unwrap()) }
}

/// Lets time pass. Checks each second that the weight is not above the stored weight.
async fn never_above_stored(shop: &Shop, store: &TestStore, seconds: u32, calls: u32) {
    for _ in 0..seconds {
        second(shop, calls).await;
        let (weight, stored) = (shop.canary.weight(), stored_weight(store).await);
        assert!(weight <= stored, "the weight is {weight}, the stored weight is {stored}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_without_the_store_keeps_weight_zero_and_accepts_only_rollback_and_halt() {
    for (fault, command, phase) in [
        (StoreFault::Unavailable, Command::RollBack, Phase::RolledBack),
        (StoreFault::Hang, Command::RollBack, Phase::RolledBack),
        (StoreFault::Unavailable, Command::Halt, Phase::Halted),
    ] {
        let (store, shop) = (test_store(), Shop::new("v2"));
        let first = controller(store.clone());
        let rollout = first.add(managed(&shop, PLAN)).unwrap();
        start(&rollout).await;
        first.stop().await;
        assert_eq!(stored_weight(&store).await, Weight::from_percent(10));

        store.fail_all(fault);
        let shop = Shop::new("v2");
        let second = controller(store.clone());
        let rollout = second.add(managed(&shop, PLAN)).unwrap();
        let error = rollout.command(order(Command::Pause)).await.unwrap_err();
        assert!(matches!(error, CommandError::NotLoaded(_)), "{error}");
        assert!(rollout.status().load_error.is_some());
        let outcome = rollout.command(order(command)).await.unwrap();
        assert!(outcome.note.unwrap().starts_with("in force, but not stored yet"));
        never_above_stored(&shop, &store, 20, 10).await;
        assert_eq!(shop.canary.weight(), Weight::ZERO);

        // The stored weight must not be in force even for a moment.
        let epochs = shop.canary.counts().epochs.len();
        store.recover();
        until(&shop, &rollout, phase, 10).await;
        assert_eq!(shop.canary.weight(), Weight::ZERO);
        assert_eq!(stored_phase(&store).await, phase);
        let counts = shop.canary.counts();
        let raised = counts.epochs.iter().skip(epochs).any(|epoch| epoch.weight > Weight::ZERO);
        assert!(!raised, "{:?}", counts.epochs);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_without_the_store_continues_the_rollout_when_the_store_is_back() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let first = controller(store.clone());
    start(&first.add(managed(&shop, PLAN)).unwrap()).await;
    first.stop().await;

    store.fail_all(StoreFault::Hang);
    let shop = Shop::new("v2");
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
    never_above_stored(&shop, &store, 20, 10).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    store.recover();
    until(&shop, &rollout, Phase::Running, 0).await;
    assert_eq!(shop.canary.weight(), Weight::from_percent(10));
    assert_eq!(rollout.status().rollout.attempt(), 1);
}

#[tokio::test(start_paused = true)]
async fn auto_start_starts_when_the_store_is_back() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    // The load succeeds, and the start is not stored.
    store.fail_changes(0..21, StoreFault::Unavailable);
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
    tick(&shop).await;
    assert_eq!(rollout.status().rollout.phase(), Phase::Idle);
    until(&shop, &rollout, Phase::Running, 0).await;
}

#[tokio::test(start_paused = true)]
async fn during_an_outage_the_weight_does_not_rise_and_a_rollback_is_stored_later() {
    for fault in [
        StoreFault::Unavailable,
        StoreFault::Hang,
        StoreFault::HangAfterChange,
        StoreFault::RequestLost,
        StoreFault::Refused,
    ] {
        let (store, shop) = (test_store(), Shop::new("v2"));
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, PLAN)).unwrap();
        start(&rollout).await;
        never_above_stored(&shop, &store, 2, 10).await;
        store.fail_all(fault);
        let error = rollout.command(order(Command::SkipStep)).await.unwrap_err();
        let is_rejected = matches!(error, CommandError::NotStored(_) | CommandError::Unknown(_));
        assert!(is_rejected, "{fault:?}: {error}");
        for _ in 0..60 {
            second(&shop, 10).await;
            assert_eq!(shop.canary.weight(), Weight::from_percent(10), "{fault:?}");
        }
        assert!(rollout.status().unsaved_for.unwrap() > Duration::from_secs(30));

        let rolling_back = rollout.command(order(Command::RollBack));
        tokio::pin!(rolling_back);
        // A single poll is enough.
        assert!(rolling_back.as_mut().now_or_never().is_none(), "{fault:?}");
        assert_eq!(shop.canary.weight(), Weight::ZERO, "{fault:?}");
        let note = rolling_back.await.unwrap().note.unwrap();
        assert!(note.starts_with("in force, but not stored yet"), "{note}");
        assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);

        store.recover();
        second(&shop, 1).await;
        second(&shop, 1).await;
        for _ in 0..10 {
            second(&shop, 1).await;
        }
        assert_eq!(stored_phase(&store).await, Phase::RolledBack, "{fault:?}");
        assert_eq!(rollout.status().unsaved_for, None, "{fault:?}");
        let last = stored_events(&store).await.pop().unwrap();
        assert_eq!((last.by, last.phase), (Actor::person("ada"), Phase::RolledBack));
    }
}

#[tokio::test(start_paused = true)]
async fn the_judge_continues_while_the_store_hangs() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let controller = controller(store.clone());
    // With a ramp-down, the guard does not roll back itself.
    let plan = format!("on_degraded = {{ ramp_down = {{ over = \"10s\" }} }}\n{PLAN}");
    let rollout = controller.add(managed(&shop, &plan)).unwrap();
    start(&rollout).await;
    never_above_stored(&shop, &store, 2, 10).await;
    store.fail_all(StoreFault::Hang);
    shop.fail_canary(500);
    let began = Instant::now();
    until(&shop, &rollout, Phase::RolledBack, 100).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    store.recover();
    for _ in 0..10 {
        second(&shop, 1).await;
    }
    assert_eq!(stored_phase(&store).await, Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_waits_for_the_store() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    start(&rollout).await;
    until(&shop, &rollout, Phase::Baking, 20).await;
    store.fail_all(StoreFault::Hang);
    for _ in 0..60 {
        second(&shop, 20).await;
        assert_eq!(shop.canary.mode(), tower_canary::SplitMode::Splitting);
    }
    store.recover();
    until(&shop, &rollout, Phase::Promoted, 20).await;
    assert_eq!(shop.canary.mode(), tower_canary::SplitMode::Promoted);
}

/// Runs a rollout on a store that fails the changes with these numbers. Returns the number of
/// changes.
async fn promoted_despite(failing: Range<usize>, fault: StoreFault) -> usize {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let context = format!("{fault:?} at changes {failing:?}");
    store.fail_changes(failing, fault);
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
    let mut events = rollout.events();
    for _ in 0..200 {
        if rollout.status().rollout.phase() == Phase::Promoted {
            break;
        }
        never_above_stored(&shop, &store, 1, 15).await;
    }
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::Promoted, "{context}: {}", status.summary);
    never_above_stored(&shop, &store, 20, 10).await;

    let stored = stored(&store).await.unwrap().0;
    assert_eq!(stored.phase(), Phase::Promoted, "{context}");
    let appended = stored_events(&store).await;
    let history: Vec<_> = stored.history().cloned().collect();
    assert_eq!(appended, history, "{context}");
    let mut received = Vec::new();
    while let Ok(event) = events.try_recv() {
        received.push((*event).clone());
    }
    assert_eq!(received, history, "{context}");
    let names: Vec<_> = history.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(names, ["started", "step_begun", "step_begun", "bake_begun", "promoted"]);
    store.changes()
}

#[tokio::test(start_paused = true)]
async fn whichever_change_fails_the_canary_is_promoted_and_each_event_is_published_once() {
    let changes = promoted_despite(0..0, StoreFault::Unavailable).await;
    assert!(changes > 10, "{changes}");
    let faults = [
        StoreFault::Unavailable,
        StoreFault::RequestLost,
        StoreFault::ResponseLost,
        StoreFault::HangAfterChange,
        StoreFault::Refused,
    ];
    for fault in faults {
        for number in 0..changes {
            promoted_despite(number..number + 1, fault).await;
        }
        // More failures than immediate retries.
        for number in (0..changes).step_by(3) {
            promoted_despite(number..number + 8, fault).await;
        }
    }
}

/// A tick makes several calls of the store, and each of them has a time limit of 2.5 s.
#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_delays_a_tick_and_a_command_by_one_call() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let controller = controller(store.clone());
    let plan = PLAN.replace("on_inconclusive", "warm_up = \"0s\"\non_inconclusive");
    let rollout = controller.add(managed(&shop, &plan.replace("5s", "1h"))).unwrap();
    start(&rollout).await;
    never_above_stored(&shop, &store, 5, 10).await;
    store.fail_all(StoreFault::Hang);
    let mut status = rollout.watch();
    status.mark_unchanged();
    let (began, mut ticks) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(60) {
        shop.calls(10).await;
        let waiting = Instant::now();
        status.changed().await.unwrap();
        assert!(waiting.elapsed() <= Duration::from_millis(3_500), "{:?}", waiting.elapsed());
        ticks += 1;
    }
    assert!(ticks >= 17, "{ticks} ticks");
    for command in [Command::Pause, Command::RollBack] {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let began = Instant::now();
        let note = rollout.command(order(command)).await.unwrap().note.unwrap();
        assert!(note.starts_with("in force, but not stored yet"), "{note}");
        assert!(began.elapsed() <= Duration::from_millis(2_500), "{:?}", began.elapsed());
    }
    // The guard does not wait for the driver either.
    store.recover();
    for _ in 0..6 {
        second(&shop, 0).await;
    }
    start(&rollout).await;
    store.fail_all(StoreFault::Hang);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    shop.fail_canary(1_000);
    let began = Instant::now();
    shop.calls(100).await;
    assert_eq!((shop.canary.weight(), began.elapsed()), (Weight::ZERO, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_command_right_after_an_outage_is_carried_out() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    start(&rollout).await;
    never_above_stored(&shop, &store, 2, 10).await;
    store.fail_all(StoreFault::Hang);
    second(&shop, 10).await;
    let mut status = rollout.watch();
    status.mark_unchanged();
    // A tick has waited for the store in vain, and the next one is not due yet.
    status.changed().await.unwrap();
    store.recover();
    tokio::time::sleep(Duration::from_millis(100)).await;
    rollout.command(order(Command::SkipStep)).await.unwrap();
    assert_eq!(stored_weight(&store).await, Weight::from_percent(50));
}

/// A ramp-down lowers the weight without an event for each of its values.
#[tokio::test(start_paused = true)]
async fn a_process_that_begins_with_its_copy_has_the_weight_of_a_ramp_down() {
    let plan = r#"
        on_degraded = { ramp_down = { over = "2m" } }
        steps = [{ weight = "50%", min_duration = "1h" }]
        monitors = [{ measure = "failures" }]
    "#;
    let (store, copies, shop) = (test_store(), test_store(), Shop::new("v2"));
    let before = controller(store.clone()).copies(copies.clone());
    let rollout = before.add(managed(&shop, plan)).unwrap();
    start(&rollout).await;
    shop.fail_canary(1000);
    for _ in 0..300 {
        second(&shop, 20).await;
        if shop.canary.weight() < Weight::from_percent(25) {
            break;
        }
    }
    let weight = shop.canary.weight();
    assert!(weight > Weight::ZERO && weight < Weight::from_percent(25), "{weight}");
    drop(before);

    store.fail_all(StoreFault::Unavailable);
    let shop = Shop::new("v2");
    let after = controller(store.clone()).copies(copies.clone());
    let _rollout = after.add(managed(&shop, plan)).unwrap();
    assert!(!after.ready(Duration::from_secs(5)).await);
    assert_eq!(shop.canary.weight(), weight);
}
