//! Monitors that judge only from a later step of the plan on.

use canary_analysis::Finding;
use canary_controller::{
    Controller, RolloutHandle,
    store::{MemoryStore, StateStore, StoreKey, Swap},
};
use canary_core::Weight;
use canary_rollout::{Command, Phase};
use http::{HeaderName, Request};
use tower_canary::{
    CanaryOptions,
    select::{Sticky, StickyHash},
};

use crate::support::{Shop, controller, managed, order, second, until};

const PLAN: &str = "
monitors = [{ measure = 'failures', from_step = 3 }]
steps = [
    { weight = '10%', min_duration = '30s', min_calls = 10 },
    { weight = '20%', min_duration = '30s', min_calls = 10 },
    { weight = '50%', min_duration = '30s', min_calls = 10 },
]
";

async fn start(shop: &Shop, store: &MemoryStore, plan: &str) -> (Controller, RolloutHandle) {
    let controller = controller(store.clone());
    let rollout = controller.add(managed(shop, plan)).unwrap();
    assert!(rollout.watch().wait_for(|status| status.load_error.is_none()).await.is_ok());
    if rollout.status().rollout.phase() == Phase::Idle {
        rollout.command(order(Command::Start)).await.unwrap();
    }
    (controller, rollout)
}

fn finding(rollout: &RolloutHandle) -> Finding {
    rollout.status().judgment.findings[0].clone()
}

/// Lets time pass until this step has begun.
async fn until_step(shop: &Shop, rollout: &RolloutHandle, step: usize) {
    for _ in 0..600 {
        if rollout.status().rollout.begun_steps() >= step {
            return;
        }
        second(shop, 100).await;
    }
    panic!("{}", rollout.status().summary);
}

/// Fails every call of the canary, and returns whether it loses its weight before the next tick.
async fn trips_at_once(shop: &Shop) -> bool {
    shop.fail_canary(1_000);
    shop.calls(100).await;
    shop.canary.weight() == Weight::ZERO
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_bad_before_the_step_and_good_from_it_on_is_promoted() {
    let shop = Shop::new("v2");
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), PLAN).await;
    shop.fail_canary(300);
    until_step(&shop, &rollout, 2).await;
    assert_eq!(finding(&rollout).waits_for_step, Some(3));
    let judgment = rollout.status().judgment.to_string();
    assert!(judgment.contains("; `failures` judges from step 3 on"), "{judgment}");
    until_step(&shop, &rollout, 3).await;
    shop.fail_canary(0);
    until(&shop, &rollout, Phase::Promoted, 100).await;
    let finding = finding(&rollout);
    assert_eq!((finding.waits_for_step, finding.adverse.canary), (None, 0));
    assert!(finding.to_string().starts_with("from step 3 on: "), "{finding}");
}

#[tokio::test(start_paused = true)]
async fn the_guard_rolls_back_at_the_step_and_not_before() {
    let shop = Shop::new("v2");
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), PLAN).await;
    for step in [1, 2] {
        until_step(&shop, &rollout, step).await;
        assert!(!trips_at_once(&shop).await, "{step}");
    }
    until_step(&shop, &rollout, 3).await;
    assert!(trips_at_once(&shop).await, "{}", rollout.status().judgment);
    until(&shop, &rollout, Phase::RolledBack, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_weight_by_hand_begins_no_monitor_and_a_skipped_step_does() {
    let shop = Shop::new("v2");
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), PLAN).await;
    let weight = Weight::from_percent(60);
    rollout.command(order(Command::SetWeight { weight })).await.unwrap();
    assert!(!trips_at_once(&shop).await);
    second(&shop, 100).await;
    assert_eq!(shop.canary.weight(), weight);
    assert_eq!(finding(&rollout).waits_for_step, Some(3));

    shop.fail_canary(0);
    for command in [Command::Resume, Command::SkipStep] {
        rollout.command(order(command)).await.unwrap();
        assert_eq!(finding(&rollout).waits_for_step, Some(3));
    }
    let preview = rollout.preview(&Command::SkipStep).unwrap().to_string();
    assert!(preview.contains("`failures` begins to judge."), "{preview}");
    rollout.command(order(Command::SkipStep)).await.unwrap();
    assert!(trips_at_once(&shop).await);
    assert_eq!(finding(&rollout).waits_for_step, None);
}

#[tokio::test(start_paused = true)]
async fn a_new_attempt_waits_for_the_step_again() {
    let shop = Shop::new("v2");
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), PLAN).await;
    until_step(&shop, &rollout, 3).await;
    rollout.command(order(Command::RollBack)).await.unwrap();
    rollout.command(order(Command::Start)).await.unwrap();
    assert_eq!(finding(&rollout).waits_for_step, Some(3));
    assert!(!trips_at_once(&shop).await);
    until_step(&shop, &rollout, 2).await;
    assert!(!trips_at_once(&shop).await);
}

#[tokio::test(start_paused = true)]
async fn the_bake_is_judged_by_a_monitor_that_no_step_has_begun() {
    let shop = Shop::new("v2");
    let plan = format!("bake = {{ duration = '1h' }}\n{PLAN}");
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), &plan).await;
    rollout.command(order(Command::Promote)).await.unwrap();
    second(&shop, 100).await;
    assert_eq!(rollout.status().rollout.phase(), Phase::Baking);
    assert_eq!(finding(&rollout).waits_for_step, None);
    shop.fail_canary(1_000);
    until(&shop, &rollout, Phase::RolledBack, 1_000).await;
}

/// The process dies after it has stored the step, and before it has stored that monitors have begun.
#[tokio::test(start_paused = true)]
async fn a_process_that_dies_between_two_steps_begins_the_monitors_again() {
    let (store, shop) = (MemoryStore::new(), Shop::new("v2"));
    let (first, rollout) = start(&shop, &store, PLAN).await;
    shop.fail_canary(300);
    until_step(&shop, &rollout, 2).await;
    for _ in 0..10 {
        second(&shop, 100).await;
    }
    let evidence = StoreKey::try_new("default", &"shop".parse().unwrap()).unwrap().evidence();
    let before = store.load(&evidence).await.unwrap().unwrap();
    until_step(&shop, &rollout, 3).await;
    drop((first, rollout));
    let latest = store.load(&evidence).await.unwrap().unwrap();
    let swap = store.compare_and_swap(&evidence, Some(&latest.revision), &before.document);
    assert!(matches!(swap.await.unwrap(), Swap::Done(_)));

    let shop = Shop::new("v2");
    let (_second, rollout) = start(&shop, &store, PLAN).await;
    assert_eq!(rollout.status().rollout.begun_steps(), 3);
    assert_eq!(finding(&rollout).waits_for_step, None);
    assert_eq!(finding(&rollout).adverse.canary, 0);
    assert!(trips_at_once(&shop).await);
}

#[tokio::test(start_paused = true)]
async fn users_that_were_seen_before_the_step_count_as_new_in_it() {
    let options = CanaryOptions::new()
        .select(Sticky::by_header(HeaderName::from_static("x-user-id")))
        .sticky_hash(StickyHash::published());
    let shop = Shop::with_options("v2", options);
    let plan = PLAN.replace("min_duration = '30s', min_calls = 10", "min_duration = '2h'");
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), &plan).await;
    let round = async || {
        for user in 0..200 {
            let request = Request::get("/").header("x-user-id", format!("user-{user}"));
            shop.call(request.header("x-fail", "canary").body(()).unwrap()).await;
        }
        second(&shop, 0).await;
        second(&shop, 0).await;
    };
    round().await;
    rollout.command(order(Command::SkipStep)).await.unwrap();
    round().await;
    assert_eq!((finding(&rollout).calls.canary, finding(&rollout).adverse.canary), (0, 0));
    rollout.command(order(Command::SkipStep)).await.unwrap();
    round().await;
    // All users count, those of the earlier steps among them.
    let finding = finding(&rollout);
    assert_eq!(finding.calls.stable + finding.calls.canary, 200, "{finding}");
    assert_eq!(finding.adverse.canary, finding.calls.canary);
    assert!(finding.calls.canary > 60, "{finding}");
}

#[tokio::test(start_paused = true)]
async fn calls_between_the_latest_look_and_the_step_are_no_evidence() {
    let shop = Shop::new("v2");
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), PLAN).await;
    rollout.command(order(Command::SkipStep)).await.unwrap();
    shop.fail_canary(1_000);
    shop.calls(200).await;
    shop.fail_canary(0);
    rollout.command(order(Command::SkipStep)).await.unwrap();
    for _ in 0..3 {
        second(&shop, 100).await;
    }
    let finding = finding(&rollout);
    assert!(finding.calls.canary > 100, "{finding}");
    assert_eq!(finding.adverse.canary, 0, "{finding}");
}
