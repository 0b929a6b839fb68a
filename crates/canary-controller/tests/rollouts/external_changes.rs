//! Changes of the weight from outside the plan: the guard, operators, the application, other
//! replicas.

use canary_controller::{AddError, CommandError, RolloutHandle, store::MemoryStore};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Phase};
use tower_canary::{CanaryLayer, SplitMode, control::ControlExt};

use crate::support::{Shop, controller, managed, order, tick, until};

const PLAN: &str = r#"
steps = [{ weight = "10%", min_duration = "1h", min_calls = 100 }, { weight = "50%", min_duration = "1h", min_calls = 100 }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

const GATED: &str = r#"
start = { gates = ["owner"] }
steps = [{ weight = "10%", min_duration = "1h" }, { weight = "50%", min_duration = "1h" }]
bake = { duration = "1h" }
gates.owner.kind = { approval = "the owner of the shop" }
"#;

async fn started(shop: &Shop, rollout: &RolloutHandle) {
    rollout.start(Actor::person("ada"), "").await.unwrap();
    until(shop, rollout, Phase::Running, 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_guard_does_not_wait_for_a_tick() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    started(&shop, &rollout).await;
    shop.fail_canary(1000);
    let ticked = rollout.status().at;
    // Without a pause the controller cannot tick.
    shop.calls(300).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    let calls = shop.canary.counts().total().evidence.canary.failure;
    assert!(calls <= 6, "{calls} calls failed");

    until(&shop, &rollout, Phase::RolledBack, 0).await;
    let status = rollout.status();
    assert!(status.summary.contains("tripped the guard"), "{}", status.summary);
    assert!(status.rollout.history().last().unwrap().at >= ticked);
}

#[tokio::test(start_paused = true)]
async fn the_guard_still_rolls_back_after_the_controller_was_dropped() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    started(&shop, &rollout).await;
    drop(controller);
    tick(&shop).await;
    assert!(!rollout.is_running());
    assert_eq!(shop.canary.weight(), Weight::from_percent(10), "the split keeps its weight");
    let error = rollout.command(order(Command::Pause)).await.unwrap_err();
    assert!(matches!(error, CommandError::Stopped), "{error}");

    shop.fail_canary(1000);
    shop.calls(300).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_takes_effect_after_the_controller_has_stopped() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    started(&shop, &rollout).await;
    controller.stop().await;
    let error = rollout.command(order(Command::RollBack)).await.unwrap_err();
    assert!(matches!(error, CommandError::Stopped), "{error}");
    assert_eq!(shop.canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_application_can_lower_the_weight_and_halt_but_not_raise_the_weight() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    started(&shop, &rollout).await;

    shop.canary.set_weight(Weight::from_percent(60)).unwrap();
    tick(&shop).await;
    assert_eq!(shop.canary.weight(), Weight::from_percent(10));
    let error = shop.canary.promote().unwrap_err();
    assert_eq!(error.to_string(), "a controller owns canary shop: use `RolloutHandle::promote`");
    assert_eq!(shop.canary.mode(), SplitMode::Splitting);
    assert_eq!(rollout.status().rollout.phase(), Phase::Running);

    shop.canary.set_weight(Weight::from_percent(5)).unwrap();
    tick(&shop).await;
    assert_eq!(shop.canary.weight(), Weight::from_percent(5));
    assert_eq!(rollout.status().rollout.phase(), Phase::Paused);
    rollout.command(order(Command::Resume)).await.unwrap();
    assert_eq!(shop.canary.weight(), Weight::from_percent(10));

    shop.canary.halt("wrong totals");
    tick(&shop).await;
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::Halted);
    assert_eq!(
        status.summary,
        "halted by application: wrong totals: waiting for the halt to be lifted"
    );
    shop.canary.lift_halt();
    tick(&shop).await;
    assert!(matches!(shop.canary.mode(), SplitMode::Halted { .. }), "the rollout is still halted");
}

#[tokio::test(start_paused = true)]
async fn the_application_can_promote_once_the_controller_has_stopped() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    shop.canary.promote().unwrap_err();
    started(&shop, &rollout).await;
    shop.canary.promote().unwrap_err();
    rollout.promote_fully(Actor::person("ada"), "the fix is urgent").await.unwrap();
    assert_eq!(shop.canary.mode(), SplitMode::Promoted);
    rollout.roll_back(Actor::person("ada"), "wrong totals").await.unwrap();
    controller.stop().await;
    shop.canary.promote().unwrap();
    assert_eq!(shop.canary.mode(), SplitMode::Promoted);
}

#[tokio::test(start_paused = true)]
async fn each_method_of_the_handle_gives_the_command_of_its_name() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, GATED)).unwrap();
    let ada = || Actor::person("ada");
    let phase = || rollout.status().rollout.phase();
    rollout.start(ada(), "").await.unwrap();
    assert_eq!(phase(), Phase::Starting);
    rollout.reject(ada(), "owner", "").await.unwrap();
    assert_eq!(phase(), Phase::Paused);
    rollout.restart(ada(), "").await.unwrap();
    rollout.approve(ada(), "owner", "").await.unwrap();
    tick(&shop).await;
    assert_eq!((phase(), shop.canary.weight()), (Phase::Running, Weight::from_percent(10)));
    rollout.skip_step(ada(), "").await.unwrap();
    assert_eq!(shop.canary.weight(), Weight::from_percent(50));
    rollout.pause(ada(), "").await.unwrap();
    assert_eq!(phase(), Phase::Paused);
    rollout.resume(ada(), "").await.unwrap();
    rollout.set_weight(ada(), Weight::from_percent(33), "").await.unwrap();
    assert_eq!((phase(), shop.canary.weight()), (Phase::Paused, Weight::from_percent(33)));
    rollout.promote(ada(), "").await.unwrap();
    assert_eq!(phase(), Phase::Baking);
    rollout.promote_fully(ada(), "").await.unwrap();
    assert_eq!(phase(), Phase::Promoted);
    rollout.roll_back(ada(), "").await.unwrap();
    assert_eq!(phase(), Phase::RolledBack);
    rollout.halt(ada(), "").await.unwrap();
    assert_eq!(phase(), Phase::Halted);
    rollout.lift_halt(ada(), "").await.unwrap();
    assert_eq!((phase(), shop.canary.weight()), (Phase::RolledBack, Weight::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_by_the_application_rolls_the_rollout_back() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    started(&shop, &rollout).await;
    shop.canary.roll_back();
    tick(&shop).await;
    assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);
    assert_eq!(shop.canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn replicas_that_share_a_store_follow_each_other() {
    let store = MemoryStore::new();
    let shops = [Shop::new("v2"), Shop::new("v2")];
    let controllers = [controller(store.clone()), controller(store.clone())];
    let [here, there] =
        [0, 1].map(|n: usize| controllers[n].add(managed(&shops[n], PLAN)).unwrap());
    started(&shops[0], &here).await;
    until(&shops[1], &there, Phase::Running, 0).await;
    assert_eq!(shops[1].canary.weight(), Weight::from_percent(10));
    assert_eq!(shops[1].canary.salt(), shops[0].canary.salt());

    there.command(order(Command::RollBack)).await.unwrap();
    until(&shops[0], &here, Phase::RolledBack, 0).await;
    assert_eq!(shops[0].canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_misses_an_event_is_refused_unless_it_is_a_rollback() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    started(&shop, &rollout).await;
    let seen = rollout.status().rollout.latest().unwrap();
    let generation = rollout.status().rollout.generation();
    for _ in 0..30 {
        tick(&shop).await;
    }
    assert!(rollout.status().rollout.generation() > generation, "progress is saved");
    rollout.command_at(&seen, order(Command::Pause)).await.unwrap();
    let error = rollout.command_at(&seen, order(Command::Resume)).await.unwrap_err();
    let latest = rollout.status().rollout.latest().unwrap();
    assert_eq!(latest.number, seen.number + 1);
    assert_eq!(
        error.to_string(),
        format!("expected event {seen} to be the latest of the rollout, but it is {latest}")
    );
    rollout.command_at(&seen, order(Command::RollBack)).await.unwrap();
    let error = rollout.command(order(Command::Resume)).await.unwrap_err();
    assert!(matches!(error, CommandError::Refused(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_controller_refuses_a_second_canary_of_the_same_name_and_one_without_releases() {
    let store = MemoryStore::new();
    let controller = controller(store);
    let shop = Shop::new("v2");
    let other = CanaryLayer::new("search", ());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    let error = controller.add(managed(&shop, PLAN)).unwrap_err();
    assert!(matches!(error, AddError::NameIsTaken(_)), "{error}");
    let error = controller
        .add(canary_controller::Managed::new(other.handle(), crate::support::plan(PLAN)))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the release of stable is unknown: set it with `CanaryOptions::stable_release`"
    );
    assert_eq!(controller.rollouts().all().len(), 1);
    assert!(controller.rollout("shop").is_some());
    assert!(controller.rollout("search").is_none());
    started(&shop, &rollout).await;
}

#[tokio::test(start_paused = true)]
async fn auto_start_starts_each_build_once() {
    let store = MemoryStore::new();
    for (release, phase) in
        [("v2", Phase::Running), ("v2", Phase::RolledBack), ("v3", Phase::Running)]
    {
        let shop = Shop::new(release);
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
        until(&shop, &rollout, phase, 1).await;
        if phase == Phase::Running {
            rollout.command(order(Command::RollBack)).await.unwrap();
        }
        tick(&shop).await;
        controller.stop().await;
        assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);
    }
}
