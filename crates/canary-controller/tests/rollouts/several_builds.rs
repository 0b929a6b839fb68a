//! At least one test for each row of the table of builds in `docs/who-owns-the-weight.md`, named by
//! its letter.

use canary_controller::{CommandError, Controller, RolloutHandle};
use canary_core::Weight;
use canary_rollout::{Command, Phase};
use tower_canary::SplitMode;

use crate::support::{
    Shop, controller, managed, options, order, second,
    stored::{TestStore, stored, test_store},
};

const PLAN: &str = r#"
steps = [{ weight = "10%", min_duration = "1h", min_calls = 1 }, { weight = "50%", min_duration = "1h", min_calls = 1 }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

struct Pod {
    shop: Shop,
    controller: Controller,
    rollout: RolloutHandle,
}

impl Pod {
    async fn of(store: &TestStore, stable: &'static str, canary: &'static str) -> Self {
        let shop = Shop::with_releases(stable, canary, options());
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, PLAN)).unwrap();
        rollout.watch().wait_for(|status| status.load_error.is_none()).await.unwrap();
        Self { shop, controller, rollout }
    }

    async fn command(&self, command: Command) {
        self.rollout.command(order(command)).await.unwrap();
    }

    /// Ends the process without a chance to store anything.
    fn kill(self) {
        drop(self.controller);
    }

    fn phase(&self) -> Phase {
        self.rollout.status().rollout.phase()
    }

    fn weight(&self) -> Weight {
        self.shop.canary.weight()
    }
}

async fn seconds(pods: &[&Pod], count: u32) {
    for _ in 0..count {
        for pod in pods {
            pod.shop.calls(5).await;
        }
        second(&pods[0].shop, 0).await;
    }
}

async fn stored_canary(store: &TestStore) -> String {
    stored(store).await.unwrap().0.releases().canary.to_string()
}

const TEN: Weight = Weight::from_percent(10);

#[tokio::test(start_paused = true)]
async fn row_a_a_replica_of_the_same_build_follows_and_replaces_a_silent_driver() {
    let store = test_store();
    let driver = Pod::of(&store, "v1", "v2").await;
    driver.command(Command::Start).await;
    let follower = Pod::of(&store, "v1", "v2").await;
    seconds(&[&driver, &follower], 20).await;
    assert_eq!(follower.weight(), TEN);
    assert!(driver.rollout.status().is_driving && !follower.rollout.status().is_driving);
    driver.kill();
    seconds(&[&follower], 5).await;
    assert!(!follower.rollout.status().is_driving, "three beats have not passed");
    seconds(&[&follower], 5).await;
    assert!(follower.rollout.status().is_driving);
    assert_eq!((follower.phase(), follower.weight()), (Phase::Running, TEN));
}

#[tokio::test(start_paused = true)]
async fn row_b_a_new_build_takes_a_rollout_that_has_ended_or_lost_its_driver() {
    for command in [Command::RollBack, Command::PromoteFully, Command::Pause] {
        let store = test_store();
        let old = Pod::of(&store, "v1", "v2").await;
        old.command(Command::Start).await;
        old.command(command.clone()).await;
        old.kill();
        let new = Pod::of(&store, "v1", "v3").await;
        if command == Command::Pause {
            assert_eq!(stored_canary(&store).await, "v2");
            seconds(&[&new], 10).await;
        }
        assert_eq!(stored_canary(&store).await, "v3", "{command:?}");
        assert_eq!((new.phase(), new.weight()), (Phase::Idle, Weight::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn row_c_a_new_build_waits_while_another_build_is_driven() {
    let store = test_store();
    let old = Pod::of(&store, "v1", "v2").await;
    old.command(Command::Start).await;
    let new = Pod::of(&store, "v1", "v3").await;
    seconds(&[&old, &new], 60).await;
    assert_eq!((old.weight(), new.weight()), (TEN, Weight::ZERO));
    assert_eq!(stored_canary(&store).await, "v2");
    let error = new.rollout.command(order(Command::SkipStep)).await.unwrap_err();
    assert!(matches!(error, CommandError::OtherReleases(_)), "{error}");
    old.kill();
    seconds(&[&new], 10).await;
    assert_eq!(stored_canary(&store).await, "v3");
}

#[tokio::test(start_paused = true)]
async fn row_d_a_start_takes_the_rollout_from_another_build() {
    let store = test_store();
    let old = Pod::of(&store, "v1", "v2").await;
    old.command(Command::Start).await;
    let new = Pod::of(&store, "v1", "v3").await;
    new.command(Command::Start).await;
    seconds(&[&old, &new], 20).await;
    assert_eq!((old.weight(), new.weight()), (Weight::ZERO, TEN));
    assert!(new.rollout.status().is_driving);
    // An operator goes back to the earlier build.
    old.command(Command::Start).await;
    seconds(&[&old, &new], 20).await;
    assert_eq!((old.weight(), new.weight()), (TEN, Weight::ZERO));
    assert!(old.rollout.status().is_driving);
}

#[tokio::test(start_paused = true)]
async fn row_e_replicas_of_a_promoted_build_keep_serving_it_while_the_next_build_is_rolled_out() {
    let store = test_store();
    let old = Pod::of(&store, "v1", "v2").await;
    old.command(Command::Start).await;
    old.command(Command::PromoteFully).await;
    let new = Pod::of(&store, "v2", "v3").await;
    seconds(&[&old, &new], 5).await;
    assert_eq!((old.weight(), new.weight()), (Weight::FULL, Weight::ZERO));
    new.command(Command::Start).await;
    seconds(&[&old, &new], 20).await;
    assert_eq!((old.weight(), new.weight()), (Weight::FULL, TEN));

    let restarted = Pod::of(&store, "v1", "v2").await;
    seconds(&[&old, &new, &restarted], 20).await;
    assert_eq!(restarted.shop.canary.mode(), SplitMode::Promoted);
    // A rollback is about v3, wherever it is given.
    old.command(Command::RollBack).await;
    seconds(&[&old, &new, &restarted], 5).await;
    assert_eq!((new.phase(), new.weight()), (Phase::RolledBack, Weight::ZERO));
    assert_eq!((old.weight(), restarted.weight()), (Weight::FULL, Weight::FULL));
    // A halt is, too.
    new.command(Command::Halt).await;
    seconds(&[&old, &new], 5).await;
    assert_eq!(old.weight(), Weight::FULL);
}

#[tokio::test(start_paused = true)]
async fn row_e_a_replica_of_a_promoted_build_serves_it_after_a_halt_through_that_replica() {
    let store = test_store();
    let old = Pod::of(&store, "v1", "v2").await;
    old.command(Command::Start).await;
    old.command(Command::PromoteFully).await;
    let new = Pod::of(&store, "v2", "v3").await;
    new.command(Command::Start).await;
    seconds(&[&old, &new], 5).await;
    old.command(Command::Halt).await;
    seconds(&[&old, &new], 5).await;
    assert_eq!((new.phase(), new.weight()), (Phase::Halted, Weight::ZERO));
    assert_eq!((old.weight(), old.shop.canary.mode()), (Weight::FULL, SplitMode::Promoted));
    new.command(Command::LiftHalt).await;
    seconds(&[&old, &new], 5).await;
    assert_eq!(old.weight(), Weight::FULL);
}

#[tokio::test(start_paused = true)]
async fn row_e_a_build_whose_stable_release_is_stable_again_does_not_keep_its_canary() {
    let store = test_store();
    let old = Pod::of(&store, "v1", "v2").await;
    old.command(Command::Start).await;
    old.command(Command::PromoteFully).await;
    let new = Pod::of(&store, "v1", "v3").await;
    seconds(&[&old, &new], 5).await;
    assert_eq!(old.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn row_f_an_old_replica_that_restarts_does_not_take_the_rollout_from_the_new_build() {
    for command in [None, Some(Command::RollBack), Some(Command::PromoteFully)] {
        let store = test_store();
        let old = Pod::of(&store, "v1", "v2").await;
        old.command(Command::Start).await;
        let new = Pod::of(&store, "v1", "v3").await;
        new.command(Command::Start).await;
        if let Some(command) = command.clone() {
            new.command(command).await;
        }
        let (phase, weight) = (new.phase(), new.weight());
        old.kill();
        let restarted = Pod::of(&store, "v1", "v2").await;
        seconds(&[&new, &restarted], 30).await;
        assert_eq!(stored_canary(&store).await, "v3");
        assert_eq!((new.phase(), new.weight()), (phase, weight), "{command:?}");
        assert_eq!(restarted.weight(), Weight::ZERO);
        // Nor when the new build is silent.
        new.kill();
        seconds(&[&restarted], 30).await;
        assert_eq!(stored_canary(&store).await, "v3");
    }
}

#[tokio::test(start_paused = true)]
async fn row_g_a_halt_that_another_build_has_lifted_does_not_come_back() {
    let store = test_store();
    let old = Pod::of(&store, "v3", "v5").await;
    old.command(Command::Halt).await;
    let new = Pod::of(&store, "v5", "v7").await;
    seconds(&[&old, &new], 5).await;
    new.command(Command::LiftHalt).await;
    seconds(&[&old, &new], 5).await;
    assert_eq!(old.shop.canary.mode(), SplitMode::Splitting);
    old.command(Command::Start).await;
    seconds(&[&old, &new], 5).await;
    assert_eq!((old.phase(), old.weight()), (Phase::Running, TEN));
}

#[tokio::test(start_paused = true)]
async fn row_g_a_halt_applies_to_all_builds() {
    let store = test_store();
    let old = Pod::of(&store, "v1", "v2").await;
    old.command(Command::Start).await;
    let new = Pod::of(&store, "v1", "v3").await;
    new.command(Command::Start).await;
    old.command(Command::Halt).await;
    seconds(&[&old, &new], 5).await;
    assert_eq!((old.weight(), new.weight()), (Weight::ZERO, Weight::ZERO));
    assert!(matches!(new.shop.canary.mode(), SplitMode::Halted { .. }));
}

#[test]
fn each_row_has_a_test() {
    let (docs, tests) =
        (include_str!("../../docs/who-owns-the-weight.md"), include_str!("several_builds.rs"));
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let rows: Vec<_> =
        rows.filter(|row| row.len() == 1 && row.starts_with(char::is_uppercase)).collect();
    assert_eq!(rows.len(), 7);
    for row in rows {
        assert!(tests.contains(&format!("async fn row_{}_", row.to_lowercase())), "row {row}");
    }
}
