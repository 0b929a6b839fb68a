//! Several processes of one build on one store: one drives, the others follow.

use canary_controller::{
    CommandError, RolloutHandle,
    analysis::Finding,
    store::{Removal, StateStore, testing::StoreFault},
};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Phase};

use crate::support::{
    Shop, controller, managed, plan,
    process::{Process, seconds, sum},
    stored::{rollout_key, stored, stored_events, test_store},
};

const PLAN: &str = r#"
warm_up = "0s"
steps = [{ weight = "10%", min_duration = "1h", min_calls = 1 }, { weight = "50%", min_duration = "1h", min_calls = 1 }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

#[tokio::test(start_paused = true)]
async fn only_the_driver_judges_the_calls_of_all_and_a_follower_shows_the_same() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.command(Command::Start).await;
    let follower = Process::new(&store, PLAN).await;
    seconds(&[&driver, &follower], 30, 10).await;
    // The last calls are stored by the next beat.
    seconds(&[&driver], 4, 0).await;
    assert!(driver.is_driving() && !follower.is_driving());
    let counted = sum([driver.counted(), follower.counted()]);
    assert_eq!([driver.judged(), follower.judged()], [counted, counted]);
    let [here, there] = [&driver, &follower].map(|process| process.rollout.status());
    assert_eq!(there.rollout.phase(), here.rollout.phase());
    assert_eq!(there.driver, here.driver);
    assert_eq!(follower.shop.canary.weight(), driver.shop.canary.weight());
    let logs = [here, there].map(|status| status.judgment.findings[0].worse.log_e.to_bits());
    assert_eq!(logs[0], logs[1]);
}

#[tokio::test(start_paused = true)]
async fn every_process_shows_the_findings_that_ended_a_rollout() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.command(Command::Start).await;
    let follower = Process::new(&store, PLAN).await;
    let other_build = Shop::new("v3");
    let controller_of_other_build = controller(store.clone());
    let bystander = controller_of_other_build.add(managed(&other_build, PLAN)).unwrap();
    seconds(&[&driver, &follower], 30, 10).await;
    // The last calls are stored by the next beat.
    seconds(&[&driver], 4, 0).await;
    let shown = |rollout: &RolloutHandle| {
        let judgment = &rollout.status().judgment;
        let of = |it: &Finding| (it.calls.canary, it.adverse, it.worse.log_e.to_bits(), it.verdict);
        judgment.findings.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(driver.judged(), sum([driver.counted(), follower.counted()]));
    assert_eq!(shown(&bystander), shown(&driver.rollout));
    drop(controller_of_other_build);

    driver.shop.fail_canary(1000);
    seconds(&[&driver, &follower], 20, 20).await;
    let status = driver.rollout.status();
    assert_eq!(status.rollout.phase(), Phase::RolledBack);
    assert!(status.judgment.findings[0].adverse.canary > 0, "{}", status.judgment);
    let late = Process::new(&store, PLAN).await;
    seconds(&[&driver], 2, 0).await;
    for process in [&follower, &late] {
        assert_eq!(shown(&process.rollout), shown(&driver.rollout));
    }

    // A process that learns now does not add the calls that it had on the canary.
    let findings = shown(&follower.rollout);
    driver.controller.stop().await;
    seconds(&[&follower], 5, 10).await;
    assert_eq!(shown(&follower.rollout), findings);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_replaces_the_driver_adds_the_calls_of_both_exactly_once() {
    let store = test_store();
    let first = Process::new(&store, PLAN).await;
    first.command(Command::Start).await;
    let second = Process::new(&store, PLAN).await;
    seconds(&[&first, &second], 30, 10).await;
    seconds(&[&first], 4, 0).await;
    let counted = first.counted();
    drop(first.controller);
    seconds(&[&second], 12, 0).await;
    assert!(second.is_driving());
    assert_eq!(second.judged(), sum([counted, second.counted()]));

    // A restarted process follows, and takes over from a controller that stops at once.
    let third = Process::new(&store, PLAN).await;
    seconds(&[&second, &third], 10, 10).await;
    let counted = sum([counted, second.counted()]);
    second.controller.stop().await;
    seconds(&[&third], 3, 0).await;
    assert!(third.is_driving());
    assert_eq!(third.judged(), sum([counted, third.counted()]));
    let steps = stored(&store).await.unwrap().0;
    assert_eq!((steps.phase(), steps.weight()), (Phase::Running, Weight::from_percent(10)));
}

#[tokio::test(start_paused = true)]
async fn a_follower_does_not_advance_the_plan_and_its_guard_still_rolls_back() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.command(Command::Start).await;
    let follower = Process::new(&store, PLAN).await;
    seconds(&[&driver, &follower], 10, 10).await;
    follower.shop.fail_canary(1000);
    follower.shop.calls(300).await;
    assert_eq!(follower.shop.canary.weight(), Weight::ZERO, "the guard");
    seconds(&[&driver], 2, 0).await;
    assert_eq!(driver.rollout.status().rollout.phase(), Phase::RolledBack);
    assert_eq!(driver.shop.canary.weight(), Weight::ZERO);
    // The follower has not judged, so it has no findings that explain its rollback.
    let event = driver.rollout.history(1).await.unwrap().pop().unwrap();
    assert!(event.evidence.contains("tripped the guard"), "{event}");
    assert!(driver.rollout.decision(&event.id()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn every_process_receives_the_stored_events_of_all() {
    let store = test_store();
    let (here, there) = (Process::new(&store, PLAN).await, Process::new(&store, PLAN).await);
    let (mut events, feed) = (there.rollout.events(), there.rollout.feed());
    here.command(Command::Start).await;
    here.command(Command::Pause).await;
    seconds(&[&here], 1, 0).await;
    there.command(Command::Resume).await;
    here.command(Command::SkipStep).await;
    seconds(&[&here], 1, 0).await;
    let history = there.rollout.history(100).await.unwrap();
    let mut received = Vec::new();
    while let Ok(event) = events.try_recv() {
        received.push((*event).clone());
    }
    assert_eq!(received, history);
    assert_eq!(*feed.borrow(), Some(history.last().unwrap().id()));
    let numbers: Vec<_> = history.iter().map(|event| event.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert_eq!(here.rollout.history(2).await.unwrap(), history[3..]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_stored_is_shown_and_survives_a_rival() {
    let store = test_store();
    let (here, there) = (Process::new(&store, PLAN).await, Process::new(&store, PLAN).await);
    here.command(Command::Start).await;
    seconds(&[&here], 1, 0).await;
    let mut events = here.rollout.events();
    // Both processes use the board at any time.
    store.only_keys_with("rollouts");
    store.fail_changes(store.changes()..store.changes() + 1, StoreFault::Unavailable);
    let paused = here.rollout.pause(Actor::person("ada"), "wait").await.unwrap();
    assert!(paused.note.unwrap().starts_with("in force, but not stored yet"));
    assert_eq!(here.rollout.status().unsaved, paused.events);
    assert!(events.try_recv().is_err(), "only stored events are sent");
    there.rollout.skip_step(Actor::person("bob"), "go").await.unwrap();
    seconds(&[&here], 5, 0).await;
    assert!(here.rollout.status().unsaved.is_empty());
    let history = here.rollout.history(100).await.unwrap();
    let told: Vec<_> = history.iter().map(|it| format!("{} {}", it.by, it.kind)).collect();
    assert!(told.contains(&"bob began step 2".to_owned()), "{told:?}");
    assert!(told.last().unwrap().starts_with("ada "), "{told:?}");
    let numbers: Vec<_> = history.iter().map(|event| event.number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    // The weight of the pause is in force everywhere.
    assert_eq!(there.shop.canary.weight(), Weight::from_percent(10));
    assert_eq!(there.rollout.status().rollout.phase(), Phase::Paused);
    assert_eq!(stored_events(&store).await, history);
}

#[tokio::test(start_paused = true)]
async fn a_wiped_store_pauses_the_plan_at_its_weight() {
    let store = test_store();
    let process = Process::new(&store, PLAN).await;
    process.command(Command::Start).await;
    seconds(&[&process], 5, 1).await;
    let (before, revision) = stored(&store).await.unwrap();
    let lineage = before.lineage();
    let removed = store.inner().remove(&rollout_key(), &revision).await.unwrap();
    assert_eq!(removed, Removal::Done);
    seconds(&[&process], 5, 1).await;
    let status = process.rollout.status();
    assert_eq!(status.rollout.phase(), Phase::Paused, "{}", status.summary);
    assert!(status.summary.contains("the store lost the rollout"), "{}", status.summary);
    assert_eq!(process.shop.canary.weight(), Weight::from_percent(10));
    assert_ne!(stored(&store).await.unwrap().0.lineage(), lineage);
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_replaced_after_the_checks_of_add_and_not_while_it_is_in_progress() {
    let store = test_store();
    let process = Process::new(&store, PLAN).await;
    let ada = || Actor::person("ada");
    let gated = "steps = [{ weight = '7%', gates = ['g'] }]\ngates.g.kind = { function = 'g' }";
    let error = process.rollout.replace_plan(plan(gated), ada(), "").await.unwrap_err();
    assert!(matches!(error, CommandError::Plan(_)), "{error}");
    let other = plan("steps = [{ weight = '7%' }]");
    process.command(Command::Start).await;
    let error = process.rollout.replace_plan(other.clone(), ada(), "").await.unwrap_err();
    assert!(matches!(error, CommandError::PlanInUse(_)), "{error}");
    process.command(Command::RollBack).await;
    let seen = process.rollout.status().rollout.latest().unwrap();
    process.rollout.replace_plan_at(&seen, other.clone(), ada(), "smaller").await.unwrap();
    let error = process.rollout.replace_plan_at(&seen, plan(PLAN), ada(), "").await.unwrap_err();
    assert!(matches!(error, CommandError::Changed { .. }), "{error}");
    assert_eq!(*stored(&store).await.unwrap().0.plan(), other);
    let last = process.rollout.history(1).await.unwrap().pop().unwrap();
    assert_eq!(
        (last.by, last.kind.as_str(), last.reason.as_str()),
        (ada(), "plan_replaced", "smaller")
    );
    process.command(Command::Start).await;
    assert_eq!(process.shop.canary.weight(), Weight::from_percent(7));
}
