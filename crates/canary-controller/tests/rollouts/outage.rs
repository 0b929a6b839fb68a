//! A store that is away moves no calls, and in the end knows all that happened.

use canary_controller::{CommandError, RolloutHandle};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Order, Phase};
use futures_util::FutureExt;
use tokio::time::{Duration, Instant};

use crate::{
    support::test_store::{Mood, TestStore},
    support::{Shop, controller, managed, second, tick, until},
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

fn order(command: Command) -> Order {
    Order::new(command, Actor::person("ada"), "because")
}

fn start(rollout: &RolloutHandle) -> impl Future<Output = ()> {
    let rollout = rollout.clone();
    async move { drop(rollout.start(Actor::person("ada"), "").await.unwrap()) }
}

/// Lets time pass, and looks at each second that no more calls are asked for than is stored.
async fn watched(shop: &Shop, store: &TestStore, seconds: u32, calls: u32) {
    for _ in 0..seconds {
        second(shop, calls).await;
        let (weight, stored) = (shop.canary.weight(), store.weight().await);
        assert!(weight <= stored, "{weight} is asked for, and {stored} is stored");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_without_a_store_is_at_zero_and_takes_only_what_goes_back() {
    for (mood, command, phase) in [
        (Mood::Away, Command::RollBack, Phase::RolledBack),
        (Mood::Hangs, Command::RollBack, Phase::RolledBack),
        (Mood::Away, Command::Halt, Phase::Halted),
    ] {
        let (store, shop) = (TestStore::new(), Shop::new("v2"));
        let first = controller(store.clone());
        let rollout = first.add(managed(&shop, PLAN)).unwrap();
        start(&rollout).await;
        first.stop().await;
        assert_eq!(store.weight().await, Weight::from_percent(10));

        store.be(mood);
        let shop = Shop::new("v2");
        let second = controller(store.clone());
        let rollout = second.add(managed(&shop, PLAN)).unwrap();
        let error = rollout.command(order(Command::Pause)).await.unwrap_err();
        assert!(matches!(error, CommandError::NotLoaded(_)), "{error}");
        assert!(rollout.status().load_error.is_some());
        let outcome = rollout.command(order(command)).await.unwrap();
        assert!(outcome.note.unwrap().starts_with("in force, but not stored yet"));
        watched(&shop, &store, 20, 10).await;
        assert_eq!(shop.canary.weight(), Weight::ZERO);

        // Now and then, to see that the stored weight is not in force even for a moment.
        let epochs = shop.canary.counts().epochs.len();
        store.be(Mood::Well);
        until(&shop, &rollout, phase, 10).await;
        assert_eq!(shop.canary.weight(), Weight::ZERO);
        assert_eq!(store.stored().await.unwrap().0.phase(), phase);
        let counts = shop.canary.counts();
        let raised = counts.epochs.iter().skip(epochs).any(|epoch| epoch.weight > Weight::ZERO);
        assert!(!raised, "{:?}", counts.epochs);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_goes_on_when_the_store_is_back() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let first = controller(store.clone());
    start(&first.add(managed(&shop, PLAN)).unwrap()).await;
    first.stop().await;

    store.be(Mood::Hangs);
    let shop = Shop::new("v2");
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
    watched(&shop, &store, 20, 10).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    store.be(Mood::Well);
    until(&shop, &rollout, Phase::Running, 0).await;
    assert_eq!(shop.canary.weight(), Weight::from_percent(10));
    assert_eq!(rollout.status().rollout.attempt(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_starts_by_itself_starts_when_the_store_is_back() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    // The load succeeds, and the start is not stored.
    store.fail_at(0, 20, Mood::Away);
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
    tick(&shop).await;
    assert_eq!(rollout.status().rollout.phase(), Phase::Idle);
    until(&shop, &rollout, Phase::Running, 0).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_step_without_a_store_nothing_is_raised_and_a_rollback_is_stored_later() {
    for mood in [Mood::Away, Mood::Hangs, Mood::AnswersNever, Mood::QuestionLost, Mood::Refuses] {
        let (store, shop) = (TestStore::new(), Shop::new("v2"));
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, PLAN)).unwrap();
        start(&rollout).await;
        watched(&shop, &store, 2, 10).await;
        store.be(mood);
        let error = rollout.command(order(Command::SkipStep)).await.unwrap_err();
        let is_undone = matches!(error, CommandError::NotStored(_) | CommandError::Unknown(_));
        assert!(is_undone, "{mood:?}: {error}");
        for _ in 0..60 {
            second(&shop, 10).await;
            assert_eq!(shop.canary.weight(), Weight::from_percent(10), "{mood:?}");
        }
        assert!(rollout.status().unsaved_for.unwrap() > Duration::from_secs(30));

        let rolling_back = rollout.command(order(Command::RollBack));
        tokio::pin!(rolling_back);
        // One poll: before anything is waited for.
        assert!(rolling_back.as_mut().now_or_never().is_none(), "{mood:?}");
        assert_eq!(shop.canary.weight(), Weight::ZERO, "{mood:?}");
        let note = rolling_back.await.unwrap().note.unwrap();
        assert!(note.starts_with("in force, but not stored yet"), "{note}");
        assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);

        store.be(Mood::Well);
        second(&shop, 1).await;
        second(&shop, 1).await;
        for _ in 0..10 {
            second(&shop, 1).await;
        }
        assert_eq!(store.stored().await.unwrap().0.phase(), Phase::RolledBack, "{mood:?}");
        assert_eq!(rollout.status().unsaved_for, None, "{mood:?}");
        let last = store.events().await.pop().unwrap();
        assert_eq!((last.by, last.phase), (Actor::person("ada"), Phase::RolledBack));
    }
}

#[tokio::test(start_paused = true)]
async fn the_judge_works_on_while_the_store_hangs() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let controller = controller(store.clone());
    // Ramped down, so that the guard only tells.
    let plan = format!("on_degraded = {{ ramp_down = {{ over = \"10s\" }} }}\n{PLAN}");
    let rollout = controller.add(managed(&shop, &plan)).unwrap();
    start(&rollout).await;
    watched(&shop, &store, 2, 10).await;
    store.be(Mood::Hangs);
    shop.fail_canary(500);
    let began = Instant::now();
    until(&shop, &rollout, Phase::RolledBack, 100).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    store.be(Mood::Well);
    for _ in 0..10 {
        second(&shop, 1).await;
    }
    assert_eq!(store.stored().await.unwrap().0.phase(), Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_promotion_waits_for_the_store() {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    start(&rollout).await;
    until(&shop, &rollout, Phase::Baking, 20).await;
    store.be(Mood::Hangs);
    for _ in 0..60 {
        second(&shop, 20).await;
        assert_eq!(shop.canary.mode(), tower_canary::SplitMode::Splitting);
    }
    store.be(Mood::Well);
    until(&shop, &rollout, Phase::Promoted, 20).await;
    assert_eq!(shop.canary.mode(), tower_canary::SplitMode::Promoted);
}

/// The story of a rollout on a store of which some changes fail. Returns how many there were.
async fn story(number: usize, more: usize, mood: Mood) -> usize {
    let (store, shop) = (TestStore::new(), Shop::new("v2"));
    let context = format!("{mood:?} at change {number} and {more} more");
    store.fail_at(number, more, mood);
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
    let mut told = rollout.events();
    for _ in 0..200 {
        if rollout.status().rollout.phase() == Phase::Promoted {
            break;
        }
        watched(&shop, &store, 1, 15).await;
    }
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::Promoted, "{context}: {}", status.summary);
    watched(&shop, &store, 20, 10).await;

    let stored = store.stored().await.unwrap().0;
    assert_eq!(stored.phase(), Phase::Promoted, "{context}");
    let kept = store.events().await;
    let history: Vec<_> = stored.history().cloned().collect();
    assert_eq!(kept, history, "{context}");
    let mut heard = Vec::new();
    while let Ok(event) = told.try_recv() {
        heard.push(event);
    }
    assert_eq!(heard, history, "{context}");
    let names: Vec<_> = history.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(names, ["started", "step_begun", "step_begun", "bake_begun", "promoted"]);
    store.changes()
}

#[tokio::test(start_paused = true)]
async fn whichever_change_fails_the_rollout_is_promoted_and_told_once_and_in_order() {
    let changes = story(usize::MAX / 2, 0, Mood::Well).await;
    assert!(changes > 10, "{changes}");
    let moods =
        [Mood::Away, Mood::QuestionLost, Mood::AnswerLost, Mood::AnswersNever, Mood::Refuses];
    for mood in moods {
        for number in 0..changes {
            story(number, 0, mood).await;
        }
        // Longer than what is tried again at once.
        for number in (0..changes).step_by(3) {
            story(number, 7, mood).await;
        }
    }
}
