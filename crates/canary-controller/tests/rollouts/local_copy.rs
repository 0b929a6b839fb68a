//! A process that starts while its store is away begins with the copy of its machine.

use std::time::Duration;

use canary_controller::{
    CommandError, Controller, RolloutHandle,
    store::{
        Document, FileStore, StateStore, StoreFailure, StoreOperation, Swap,
        testing::{FaultyStore, StoreFault},
    },
};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Phase};
use tokio::time::Instant;
use tower_canary::SplitMode;

use crate::support::{
    Shop, controller, managed, order, second,
    stored::{TestStore, another_connection, rollout_key, stored_phase, test_store},
    until,
};

const PLAN: &str = r#"
steps = [{ weight = "10%", min_duration = "1h" }, { weight = "50%", min_duration = "1h" }]
monitors = [{ measure = "failures" }]
"#;

/// A machine whose processes share a store with others.
struct Machine {
    store: TestStore,
    copies: TestStore,
    plan: &'static str,
}

struct Process {
    shop: Shop,
    controller: Controller,
    rollout: RolloutHandle,
}

impl Process {
    async fn seconds(&self, count: u32) {
        for _ in 0..count {
            second(&self.shop, 1).await;
        }
    }
}

impl Machine {
    fn new() -> Self {
        Self { store: test_store(), copies: test_store(), plan: PLAN }
    }

    /// Starts a process of the release v2.
    async fn start(&self) -> Process {
        self.start_release("v2").await
    }

    async fn start_release(&self, release: &'static str) -> Process {
        let shop = Shop::new(release);
        let controller = controller(self.store.clone()).copies(self.copies.clone());
        let rollout = controller.add(managed(&shop, self.plan)).unwrap();
        controller.ready(Duration::from_secs(5)).await;
        Process { shop, controller, rollout }
    }

    /// A machine on which a process has carried out these commands, and was killed.
    async fn after(commands: impl IntoIterator<Item = Command>) -> Self {
        let machine = Self::new();
        let process = machine.start().await;
        for command in commands {
            process.rollout.command(order(command)).await.unwrap();
        }
        machine
    }

    /// Returns the copy.
    async fn copy(&self) -> Option<Document> {
        self.copies.inner().load(&rollout_key().copy()).await.unwrap().map(|found| found.document)
    }
}

fn percent(percent: u32) -> Weight {
    Weight::from_percent(percent)
}

#[tokio::test(start_paused = true)]
async fn a_process_begins_with_the_copy_and_continues_with_the_stored_rollout() {
    for fault in [StoreFault::Unavailable, StoreFault::Hang] {
        let machine = Machine::after([Command::Start, Command::SkipStep]).await;
        machine.store.fail_all(fault);
        let process = machine.start().await;
        assert_eq!(process.shop.canary.weight(), percent(50));
        let status = process.rollout.status();
        let error = status.load_error.clone().expect("the stored rollout is not loaded");
        let summary = "the stored rollout is not loaded, a copy of this machine is in force";
        assert_eq!(status.summary, format!("{summary}: {error}"));

        // Nothing else moves the weight.
        for command in [Command::Promote, Command::Pause] {
            let error = process.rollout.command(order(command)).await.unwrap_err();
            assert!(matches!(error, CommandError::NotLoaded(_)), "{error}");
        }
        for _ in 0..20 {
            second(&process.shop, 10).await;
            assert_eq!(process.shop.canary.weight(), percent(50));
        }
        drop(process);
        let process = machine.start().await;
        assert_eq!(process.shop.canary.weight(), percent(50), "the copy stays");

        machine.store.recover();
        assert!(process.controller.ready(Duration::from_secs(5)).await);
        assert_eq!(process.shop.canary.weight(), percent(50));
        let promoted = process.rollout.command(order(Command::PromoteFully)).await;
        promoted.unwrap();
        assert_eq!(process.shop.canary.mode(), SplitMode::Promoted);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_copy_the_weight_is_zero() {
    let machine = Machine::new();
    machine.store.fail_all(StoreFault::Unavailable);
    let process = machine.start().await;
    assert_eq!(process.shop.canary.weight(), Weight::ZERO);
    let summary = process.rollout.status().summary.clone();
    let stays = "the stored rollout is not loaded, the weight stays: ";
    assert!(summary.starts_with(stays), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn a_promoted_canary_stays_promoted() {
    let machine = Machine::after([Command::Start, Command::PromoteFully]).await;
    machine.store.fail_all(StoreFault::Unavailable);
    assert_eq!(machine.start().await.shop.canary.mode(), SplitMode::Promoted);
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_other_releases_puts_no_weight_into_force() {
    let machine = Machine::after([Command::Start]).await;
    machine.store.fail_all(StoreFault::Unavailable);
    let process = machine.start_release("v3").await;
    assert_eq!(process.shop.canary.weight(), Weight::ZERO);
    // The releases of the copy may come back.
    second(&process.shop, 1).await;
    drop(process);
    assert_eq!(machine.start().await.shop.canary.weight(), percent(10));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_is_only_in_the_copy_is_stored_by_the_next_process() {
    for (command, mode, phase) in [
        (Command::RollBack, SplitMode::Splitting, Phase::RolledBack),
        (Command::Halt, SplitMode::Halted { reason: "because".to_owned() }, Phase::Halted),
    ] {
        let machine = Machine::after([Command::Start]).await;
        let process = machine.start().await;
        machine.store.fail_all(StoreFault::Unavailable);
        process.rollout.command(order(command)).await.unwrap();
        drop(process);
        let process = machine.start().await;
        let in_force = || (process.shop.canary.weight(), process.shop.canary.mode());
        assert_eq!(in_force(), (Weight::ZERO, mode.clone()));

        machine.store.recover();
        assert_eq!(stored_phase(&machine.store).await, Phase::Running);
        assert!(process.controller.ready(Duration::from_secs(5)).await);
        until(&process.shop, &process.rollout, phase, 1).await;
        assert_eq!(in_force(), (Weight::ZERO, mode));
        assert_eq!(stored_phase(&machine.store).await, phase);
        let counts = process.shop.canary.counts();
        assert!(counts.epochs.iter().all(|epoch| epoch.weight == Weight::ZERO), "{counts:?}");
        let status = process.rollout.status();
        let events: Vec<_> = status.rollout.history().map(|event| &event.by).collect();
        assert_eq!(*events.last().unwrap(), &Actor::person("ada"), "the author is kept");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_rolled_back_does_not_come_back() {
    let machine = Machine::after([Command::Start]).await;
    machine.store.fail_all(StoreFault::Unavailable);
    let process = machine.start().await;
    assert_eq!(process.shop.canary.weight(), percent(10));
    process.rollout.command(order(Command::RollBack)).await.unwrap();
    drop(process);
    assert_eq!(machine.start().await.shop.canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_guard_rolls_a_copy_back() {
    let machine = Machine::after([Command::Start, Command::SkipStep]).await;
    machine.store.fail_all(StoreFault::Unavailable);
    let process = machine.start().await;
    process.shop.fail_canary(1000);
    process.shop.calls(400).await;
    assert_eq!(process.shop.canary.weight(), Weight::ZERO);
    let failures = process.shop.canary.counts().total().evidence.canary.failure;
    assert!(failures >= 12, "{failures}: nine are enough without a fleet");
    second(&process.shop, 10).await;
    assert_eq!(process.shop.canary.weight(), Weight::ZERO);
    assert_eq!(machine.copy().await, None);
    let changes = machine.copies.changes();
    second(&process.shop, 10).await;
    assert_eq!(machine.copies.changes(), changes, "it is removed once");

    machine.store.recover();
    until(&process.shop, &process.rollout, Phase::RolledBack, 1).await;
    assert_eq!(process.shop.canary.weight(), Weight::ZERO);
    assert_eq!(stored_phase(&machine.store).await, Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_begins_at_a_later_step_rolls_a_copy_back() {
    let later = r#"
        steps = [{ weight = "10%", min_duration = "1h" }, { weight = "50%", min_duration = "1h" }]
        monitors = [{ measure = "failures", from_step = 2 }]
    "#;
    let machine = Machine { plan: later, ..Machine::new() };
    let process = machine.start().await;
    for command in [Command::Start, Command::SkipStep] {
        process.rollout.command(order(command)).await.unwrap();
    }
    drop(process);
    machine.store.fail_all(StoreFault::Unavailable);
    let process = machine.start().await;
    assert_eq!(process.shop.canary.weight(), percent(50));
    process.shop.fail_canary(1000);
    process.shop.calls(400).await;
    assert_eq!(process.shop.canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_stored_rollout_replaces_the_copy() {
    let machine = Machine::after([Command::Start]).await;
    let elsewhere = Machine { copies: test_store(), store: machine.store.clone(), plan: PLAN };
    elsewhere.start().await.rollout.command(order(Command::RollBack)).await.unwrap();

    let connection = FaultyStore::new(machine.store.inner().clone());
    connection.fail_all(StoreFault::Unavailable);
    let machine = Machine { store: connection, ..machine };
    let process = machine.start().await;
    assert_eq!(process.shop.canary.weight(), percent(10), "it cannot know about the rollback");
    machine.store.recover();
    assert!(process.controller.ready(Duration::from_secs(5)).await);
    assert_eq!(process.shop.canary.weight(), Weight::ZERO);
    assert_eq!(process.rollout.status().rollout.phase(), Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_copy_does_not_fill_an_empty_store() {
    let machine = Machine::after([Command::Start]).await;
    let machine = Machine { store: test_store(), ..machine };
    machine.store.fail_all(StoreFault::Unavailable);
    let process = machine.start().await;
    assert_eq!(process.shop.canary.weight(), percent(10));
    machine.store.recover();
    assert!(process.controller.ready(Duration::from_secs(5)).await);
    assert_eq!(process.shop.canary.weight(), Weight::ZERO);
    assert_eq!(process.rollout.status().rollout.phase(), Phase::Idle);
}

#[tokio::test]
async fn a_copy_that_cannot_be_read_is_reported_and_replaced_by_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let copies = FileStore::open(directory.path()).await.unwrap();
    let document = Document::try_new(r#"{"schema":2}"#).unwrap();
    let swap = copies.compare_and_swap(&rollout_key().copy(), None, &document).await;
    assert!(matches!(swap.unwrap(), Swap::Done(_)));

    let (store, shop) = (test_store(), Shop::new("v2"));
    store.fail_all(StoreFault::Unavailable);
    let controller = controller(store.clone()).copies(copies.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    let path = directory.path().display().to_string();
    let is_reported = |failure: &StoreFailure| {
        failure.operation == StoreOperation::Read
            && failure.path.starts_with(&path)
            && failure.error.contains("schema version 2")
    };
    let mut status = rollout.watch();
    for _ in 0..2 {
        let found = status.wait_for(|it| it.store_failures.iter().any(is_reported)).await;
        assert_eq!(found.unwrap().weight, Weight::ZERO);
        status.changed().await.unwrap();
    }

    store.recover();
    status.wait_for(|it| it.store_failures.is_empty()).await.unwrap();
    rollout.command(order(Command::Start)).await.unwrap();
    controller.stop().await;
    let found = copies.load(&rollout_key().copy()).await.unwrap().unwrap();
    assert!(found.document.as_str().contains("v2"));
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_written_is_reported_and_delays_nothing() {
    for fault in [StoreFault::Unavailable, StoreFault::Hang] {
        let machine = Machine::new();
        machine.copies.fail_all(fault);
        let process = machine.start().await;
        process.rollout.command(order(Command::Start)).await.unwrap();
        process.seconds(30).await;
        let failures = process.rollout.status().store_failures.clone();
        assert_eq!(failures[0].operation, StoreOperation::Write, "{failures:?}");
        assert!(slow_ticks(&process).await <= 2, "a call is made each ten seconds");

        machine.copies.recover();
        let mut status = process.rollout.watch();
        status.wait_for(|it| it.store_failures.is_empty()).await.unwrap();
        assert!(machine.copy().await.unwrap().as_str().contains("v2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_kept_although_no_write_of_it_is_answered() {
    for fault in [StoreFault::ResponseLost, StoreFault::HangAfterChange] {
        let machine = Machine::new();
        machine.copies.fail_changes(0..usize::MAX, fault);
        let process = machine.start().await;
        for command in [Command::Start, Command::SkipStep] {
            process.rollout.command(order(command)).await.unwrap();
            process.seconds(15).await;
        }
        drop(process);
        machine.store.fail_all(StoreFault::Unavailable);
        assert_eq!(machine.start().await.shop.canary.weight(), percent(50), "{fault:?}");
    }
}

/// Returns how many of the next ticks take longer than two seconds.
async fn slow_ticks(process: &Process) -> usize {
    let (mut status, mut slow) = (process.rollout.watch(), 0);
    for _ in 0..15 {
        let began = Instant::now();
        status.changed().await.unwrap();
        slow += usize::from(began.elapsed() > Duration::from_secs(2));
    }
    slow
}

#[tokio::test(start_paused = true)]
async fn a_process_takes_one_copy_and_no_later_one() {
    let machine = Machine::after([Command::Start]).await;
    let [store, copies] = [&machine.store, &machine.copies].map(another_connection);
    store.fail_all(StoreFault::Unavailable);
    // The first attempt to read it fails.
    copies.fail_next(StoreFault::Unavailable);
    let away = Machine { store, copies, plan: PLAN };
    let process = away.start().await;
    assert_eq!(process.shop.canary.weight(), Weight::ZERO);
    process.seconds(12).await;
    assert_eq!(process.shop.canary.weight(), percent(10));

    // Another process of the machine writes one with a higher weight.
    let other = machine.start().await;
    other.rollout.command(order(Command::SkipStep)).await.unwrap();
    assert_eq!(other.rollout.status().store_failures, []);
    process.seconds(12).await;
    assert_eq!(process.shop.canary.weight(), percent(10));
    drop(process);
    assert_eq!(away.start().await.shop.canary.weight(), percent(50));
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_written_when_the_rollout_changes() {
    let machine = Machine::new();
    let process = machine.start().await;
    for command in [Command::Start, Command::RollBack, Command::Halt] {
        process.rollout.command(order(command)).await.unwrap();
    }
    let writes = machine.copies.changes();
    process.seconds(10).await;
    assert_eq!(machine.copies.changes(), writes);
    drop(process);
    machine.store.fail_all(StoreFault::Unavailable);
    let process = machine.start().await;
    assert!(matches!(process.shop.canary.mode(), SplitMode::Halted { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_cannot_be_read_delays_nothing() {
    let machine = Machine::after([Command::Start]).await;
    machine.store.fail_all(StoreFault::Unavailable);
    machine.copies.fail_all(StoreFault::Hang);
    let process = machine.start().await;
    assert!(slow_ticks(&process).await <= 2, "a call is made each ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_loads_the_rollout_replaces_an_earlier_copy() {
    let machine = Machine::after([Command::Start]).await;
    let elsewhere = Machine { copies: test_store(), store: machine.store.clone(), plan: PLAN };
    elsewhere.start().await.rollout.command(order(Command::SkipStep)).await.unwrap();
    assert_eq!(machine.start().await.rollout.status().store_failures, []);
    machine.store.fail_all(StoreFault::Unavailable);
    assert_eq!(machine.start().await.shop.canary.weight(), percent(50));
}
