//! Canaries at rest: ticks in which nothing can happen are left out, and nothing is late.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use canary_controller::{
    Clock, Controller, RolloutHandle, Status,
    store::{MemoryStore, StateStore},
};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Phase, Timestamp, replica::BEAT};
use serde_json::Value;
use tokio::time::Instant;

use crate::support::{
    Shop, controller, managed, order,
    process::{Process, seconds, sum},
    second,
    stored::{TestStore, rollout_key, test_store},
};

const PLAN: &str = "
warm_up = '0s'
steps = [{ weight = '10%', min_duration = '1h', min_calls = 1 }]
monitors = [{ measure = 'failures' }]
";

/// Lets time pass without calls. Returns the number of changes of the status.
async fn rest(rollout: &RolloutHandle, lasts: Duration) -> usize {
    let (mut status, end, mut changes) = (rollout.watch(), Instant::now() + lasts, 0);
    while tokio::time::timeout_at(end, status.changed()).await.is_ok() {
        changes += 1;
    }
    changes
}

async fn started(plan: &str) -> Process {
    let process = Process::new(&test_store(), plan).await;
    process.command(Command::Start).await;
    process
}

async fn evidence(store: &TestStore) -> Value {
    let found = store.inner().load(&rollout_key().evidence()).await.unwrap().unwrap();
    serde_json::from_str(found.document.as_str()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn ticks_without_calls_are_left_out_unless_something_is_due() {
    let idle = Process::new(&test_store(), PLAN).await;
    let running = started(PLAN).await;
    seconds(&[&idle, &running], 5, 0).await;
    assert!(rest(&idle.rollout, Duration::from_secs(60)).await <= 8);
    // Once the traffic of the last minute is known to be none, even fewer ticks are needed.
    assert!(rest(&idle.rollout, Duration::from_secs(600)).await <= 11);
    assert!(rest(&running.rollout, Duration::from_secs(60)).await <= 14);
    // With calls, the status follows each second.
    let mut changes = 0;
    for _ in 0..20 {
        running.shop.calls(1).await;
        changes += rest(&running.rollout, Duration::from_secs(1)).await;
    }
    assert!(changes >= 19, "{changes}");
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_viewed_is_current() {
    for process in [Process::new(&test_store(), PLAN).await, started(PLAN).await] {
        seconds(&[&process], 5, 5).await;
        seconds(&[&process], 15, 0).await;
        let viewer = process.rollout.keep_current();
        assert!(rest(&process.rollout, Duration::from_secs(70)).await >= 69);
        let status = process.rollout.status();
        assert!(process.rollout.now().since(status.at) <= Duration::from_secs(1));
        // The last calls are more than a minute old.
        assert!(status.traffic.unwrap().calls_per_second < 0.01);
        let another = process.rollout.clone().keep_current();
        drop(viewer);
        assert!(rest(&process.rollout, Duration::from_secs(10)).await >= 9);
        drop(another);
        assert!(rest(&process.rollout, Duration::from_secs(60)).await <= 14);
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_at_rest_keeps_its_beat_and_is_not_replaced() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.command(Command::Start).await;
    seconds(&[&driver], 30, 0).await;
    let (mut beats, mut judged) = (Vec::new(), Vec::new());
    for _ in 0..30 {
        tokio::time::sleep(BEAT * 3 / 2).await;
        let evidence = evidence(&store).await;
        beats.push(evidence["beat"].as_u64().unwrap());
        judged.push(evidence["evidence"]["judge"].to_string());
    }
    assert!(beats.is_sorted_by(|one, next| one < next), "{beats:?}");
    judged.dedup();
    assert!(judged.len() < 15, "the evidence was written {} times", judged.len());

    // A replica that comes later follows it, and is heard.
    let follower = Process::new(&store, PLAN).await;
    seconds(&[&follower], 30, 0).await;
    assert!(driver.is_driving() && !follower.is_driving());
    assert_eq!(driver.heard(), "2 of 2 replicas heard");
    // With two replicas, no tick is left out. When the driver dies, the follower replaces it after three beats and its jitter.
    drop(driver.controller);
    seconds(&[&follower], 10, 0).await;
    assert!(follower.is_driving());
}

/// Longer and longer rests, so that one ends at each time between two ticks.
const RESTS: RangeInclusive<u32> = 11..=17;

#[tokio::test(start_paused = true)]
async fn calls_after_a_rest_are_judged_within_two_seconds() {
    let process = started(PLAN).await;
    for rest in RESTS {
        seconds(&[&process], rest, 0).await;
        seconds(&[&process], 1, 20).await;
        seconds(&[&process], 1, 0).await;
        assert_eq!(process.judged(), process.counted(), "after {rest} s");
    }
    process.shop.fail_canary(1_000);
    seconds(&[&process], 2, 200).await;
    assert_eq!(process.rollout.status().rollout.phase(), Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_driver_at_rest_publishes_and_judges_the_calls_of_other_replicas() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.command(Command::Start).await;
    seconds(&[&driver], 30, 0).await;
    let board = rollout_key().board();
    let mut entries = Vec::new();
    for _ in 0..10 {
        seconds(&[&driver], 3, 0).await;
        let listed = store.inner().list(&board).await.unwrap();
        entries.push(listed[0].document.as_ref().unwrap().revision.clone());
    }
    entries.dedup();
    assert_eq!(entries.len(), 10, "it publishes with each beat");

    // Once another replica has an entry, the driver lists the board each beat, and does not rest.
    let other = Process::new(&store, PLAN).await;
    for rest in RESTS {
        seconds(&[&other], rest, 0).await;
        seconds(&[&other], 1, 20).await;
        // A publication and a list take two seconds each.
        seconds(&[&other], 4, 0).await;
        assert_eq!(driver.judged(), sum([driver.counted(), other.counted()]), "after {rest} s");
    }
}

/// While the judge warms up, no tick is left out.
#[tokio::test(start_paused = true)]
async fn a_warm_up_ends_without_calls() {
    let plan = PLAN.replace("'0s'", "'40s'");
    let process = started(&plan).await;
    seconds(&[&process], 2, 20).await;
    let left = |process: &Process| process.rollout.status().judgment.warm_up_left();
    assert!(left(&process).is_some_and(|left| left > Duration::from_secs(30)));
    seconds(&[&process], 40, 0).await;
    assert_eq!(left(&process), None, "the warm-up ends without calls");
}

#[tokio::test(start_paused = true)]
async fn what_the_plan_waits_for_comes_on_time() {
    let plan = "
        warm_up = '0s'
        steps = [
            { weight = '10%', min_duration = '33s', min_calls = 1 },
            { weight = '20%', min_calls = 1, deadline = '47s' },
        ]
        monitors = [{ measure = 'failures' }]";
    let process = started(plan).await;
    let began: Timestamp = process.rollout.status().at;
    seconds(&[&process], 2, 40).await;
    seconds(&[&process], 98, 0).await;
    let status = process.rollout.status();
    let after: Vec<_> = status
        .rollout
        .history()
        .map(|event| (event.kind.as_str(), event.at.since(began).as_secs()))
        .collect();
    assert!(after.contains(&("step_begun", 33)), "{after:?}");
    assert!(after.contains(&("paused", 33 + 47)), "{after:?}");
}

/// The time before a pause belongs to the step, although its ticks were left out.
#[tokio::test(start_paused = true)]
async fn a_command_ends_the_rest_before_it_takes_effect() {
    let plan = "
        warm_up = '0s'
        steps = [{ weight = '10%', min_duration = '40s', min_calls = 1 }, { weight = '20%' }]
        monitors = [{ measure = 'failures' }]";
    for rest in RESTS {
        let process = started(plan).await;
        let began = Instant::now();
        seconds(&[&process], 2, 40).await;
        seconds(&[&process], rest, 0).await;
        process.command(Command::Pause).await;
        process.command(Command::Resume).await;
        let mut status = process.rollout.watch();
        let next = |status: &Arc<Status>| status.rollout.weight() == Weight::from_percent(20);
        status.wait_for(next).await.unwrap();
        let passed = began.elapsed().as_secs();
        assert!((40..=42).contains(&passed), "{passed} s, with a pause after {rest} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_direct_change_of_the_data_plane_is_seen_within_two_seconds() {
    let process = started(PLAN).await;
    process.command(Command::Pause).await;
    for (rest, percent) in RESTS.zip([9, 8, 7, 6, 5, 4, 3]) {
        seconds(&[&process], rest, 0).await;
        process.shop.canary.set_weight(Weight::from_percent(percent)).unwrap();
        seconds(&[&process], 2, 0).await;
        let weight = process.rollout.status().rollout.weight();
        assert_eq!(weight, Weight::from_percent(percent), "after {rest} s");
    }

    let idle = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&idle, PLAN)).unwrap();
    for _ in 0..60 {
        second(&idle, 0).await;
    }
    // No rollout is in progress, so that the raise is undone.
    idle.canary.set_weight(Weight::from_percent(3)).unwrap();
    second(&idle, 0).await;
    second(&idle, 0).await;
    assert_eq!(idle.canary.weight(), Weight::ZERO);
    // Commands do not wait for a tick.
    let before = Instant::now();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    rollout.command(order(Command::RollBack)).await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);

    // A halt at weight zero changes no count.
    for rest in RESTS {
        for _ in 0..rest {
            second(&idle, 0).await;
        }
        idle.canary.halt("by the application");
        second(&idle, 0).await;
        second(&idle, 0).await;
        assert_eq!(rollout.status().rollout.phase(), Phase::Halted, "after {rest} s");
        rollout.command(order(Command::LiftHalt)).await.unwrap();
    }
}

/// The clock of the plan may jump while the process rests.
#[tokio::test(start_paused = true)]
async fn a_jump_of_the_clock_ends_the_rest() {
    for rest in RESTS {
        let (began, jumped) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let clock = Clock::from_fn({
            let jumped = Arc::clone(&jumped);
            let start: Timestamp = "2026-11-24T08:00:00Z".parse().unwrap();
            move || start + began.elapsed() + Duration::from_secs(jumped.load(Ordering::Relaxed))
        });
        let shop = Shop::new("v2");
        let controller = Controller::new(MemoryStore::new()).clock(clock);
        let plan = format!("calendar = {{ hours = ['09:00-17:00'] }}\n{PLAN}");
        let rollout = controller.add(managed(&shop, &plan)).unwrap();
        rollout.start(Actor::person("ada"), "").await.unwrap();
        for _ in 0..rest {
            second(&shop, 0).await;
        }
        assert_eq!(shop.canary.weight(), Weight::ZERO);
        jumped.store(3_600, Ordering::Relaxed);
        second(&shop, 0).await;
        second(&shop, 0).await;
        assert_eq!(shop.canary.weight(), Weight::from_percent(10), "after {rest} s");
    }
}
