//! At least one test for each row of `docs/who-owns-the-weight.md`, named by its number.

use canary_controller::{Controller, RolloutHandle};
use canary_core::Weight;
use canary_rollout::{Command, Phase};
use tower_canary::control::ControlExt;

use crate::support::{
    Shop, controller, managed, order, plan, second,
    stored::{TestStore, test_store},
    tick, until,
};

const PLAN: &str = r#"
steps = [{ weight = "10%", min_duration = "1h", min_calls = 1 }, { weight = "50%", min_duration = "1h", min_calls = 1 }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

struct Process {
    shop: Shop,
    controller: Controller,
    rollout: RolloutHandle,
}

impl Process {
    async fn begin(store: &TestStore, release: &'static str, toml: &str) -> Self {
        let shop = Shop::new(release);
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, toml)).unwrap();
        rollout.watch().wait_for(|status| status.load_error.is_none()).await.unwrap();
        Self { shop, controller, rollout }
    }

    async fn running(store: &TestStore) -> Self {
        let process = Self::begin(store, "v2", PLAN).await;
        process.command(Command::Start).await;
        until(&process.shop, &process.rollout, Phase::Running, 0).await;
        process
    }

    async fn command(&self, command: Command) {
        self.rollout.command(order(command)).await.unwrap();
    }

    /// Replaces a process that is killed: it stores nothing more.
    async fn replace(self, store: &TestStore, release: &'static str, toml: &str) -> Self {
        drop(self.controller);
        Self::begin(store, release, toml).await
    }

    fn phase(&self) -> Phase {
        self.rollout.status().rollout.phase()
    }

    fn weight(&self) -> Weight {
        self.shop.canary.weight()
    }
}

#[tokio::test(start_paused = true)]
async fn row_1_a_halt_holds_after_a_restart_and_for_other_builds_until_it_is_lifted() {
    let store = test_store();
    let process = Process::running(&store).await;
    process.command(Command::Halt).await;
    let process = process.replace(&store, "v2", PLAN).await;
    assert_eq!((process.phase(), process.weight()), (Phase::Halted, Weight::ZERO));
    assert!(process.shop.canary.set_weight(Weight::from_percent(1)).is_err());
    let process = process.replace(&store, "v3", PLAN).await;
    assert_eq!((process.phase(), process.weight()), (Phase::Halted, Weight::ZERO));
    for command in [Command::Start, Command::Resume, Command::PromoteFully] {
        process.rollout.command(order(command)).await.unwrap_err();
    }
    process.command(Command::LiftHalt).await;
    assert_eq!(process.weight(), Weight::ZERO, "a release starts nothing");
    process.command(Command::Start).await;
    assert_eq!(process.weight(), Weight::from_percent(10));
}

#[tokio::test(start_paused = true)]
async fn row_2_a_rollback_holds_until_a_new_start_and_a_lowered_weight_until_it_is_resumed() {
    let store = test_store();
    let process = Process::running(&store).await;
    process.shop.canary.set_weight(Weight::from_percent(2)).unwrap();
    tick(&process.shop).await;
    let process = process.replace(&store, "v2", PLAN).await;
    assert_eq!((process.phase(), process.weight()), (Phase::Paused, Weight::from_percent(2)));
    process.command(Command::Resume).await;
    assert_eq!(process.weight(), Weight::from_percent(10));

    process.shop.fail_canary(1000);
    process.shop.calls(300).await;
    assert_eq!(process.weight(), Weight::ZERO, "the guard");
    tick(&process.shop).await;
    let process = process.replace(&store, "v2", PLAN).await;
    tick(&process.shop).await;
    assert_eq!((process.phase(), process.weight()), (Phase::RolledBack, Weight::ZERO));
    process.command(Command::Start).await;
    assert_eq!(process.weight(), Weight::from_percent(10));
}

#[tokio::test(start_paused = true)]
async fn row_2_a_lower_weight_after_a_promotion_is_a_rollback() {
    let store = test_store();
    let process = Process::running(&store).await;
    process.command(Command::PromoteFully).await;
    process.shop.canary.set_weight(Weight::from_percent(60)).unwrap();
    tick(&process.shop).await;
    assert_eq!((process.phase(), process.weight()), (Phase::RolledBack, Weight::ZERO));
}

#[tokio::test(start_paused = true)]
async fn row_3_the_last_command_of_an_operator_holds_after_a_restart_of_the_same_build() {
    let store = test_store();
    let process = Process::running(&store).await;
    process.command(Command::SetWeight { weight: Weight::from_percent(33) }).await;
    let process = process.replace(&store, "v2", PLAN).await;
    assert_eq!((process.phase(), process.weight()), (Phase::Paused, Weight::from_percent(33)));
    process.command(Command::PromoteFully).await;
    let process = process.replace(&store, "v2", PLAN).await;
    assert_eq!((process.phase(), process.weight()), (Phase::Promoted, Weight::FULL));
    assert_eq!(process.shop.canary.mode(), tower_canary::SplitMode::Promoted);
}

#[tokio::test(start_paused = true)]
async fn row_4_the_stored_rollout_keeps_its_step_time_evidence_and_salt() {
    let store = test_store();
    let process = Process::running(&store).await;
    process.command(Command::SkipStep).await;
    for _ in 0..30 {
        second(&process.shop, 10).await;
    }
    let before = process.rollout.status();
    let salt = process.shop.canary.salt();
    let process = process.replace(&store, "v2", PLAN).await;
    let after = process.rollout.status();
    assert_eq!((process.phase(), process.weight()), (Phase::Running, Weight::from_percent(50)));
    assert_eq!(process.shop.canary.salt(), salt);
    let seen =
        |status: &canary_controller::Status| status.rollout.state().progress().unwrap().ticked;
    // A killed process loses the time since its last save.
    let least = seen(&before).saturating_sub(canary_rollout::Rollout::SAVE_INTERVAL);
    assert!(seen(&after) >= least, "{:?} {:?}", seen(&after), seen(&before));
    let calls = |status: &canary_controller::Status| status.judgment.findings[0].calls.stable;
    assert!(calls(&after) > 0 && calls(&after) <= calls(&before));
}

#[tokio::test(start_paused = true)]
async fn row_5_another_build_begins_idle_without_evidence() {
    let store = test_store();
    let process = Process::running(&store).await;
    process.shop.fail_canary(1000);
    process.shop.calls(300).await;
    tick(&process.shop).await;
    assert_eq!(process.phase(), Phase::RolledBack);
    let process = process.replace(&store, "v3", PLAN).await;
    assert_eq!((process.phase(), process.weight()), (Phase::Idle, Weight::ZERO));
    let findings = process.rollout.status().judgment.findings.clone();
    assert!(findings.iter().all(|finding| finding.calls.canary == 0), "the evidence is new");
    drop(process.controller);

    let shop = Shop::new("v4");
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
    until(&shop, &rollout, Phase::Running, 0).await;
}

#[tokio::test(start_paused = true)]
async fn row_6_another_plan_waits_until_the_current_rollout_has_ended() {
    let store = test_store();
    let other = "steps = [{ weight = \"7%\", min_duration = \"1h\" }]";
    let process = Process::running(&store).await.replace(&store, "v2", other).await;
    assert_eq!((process.phase(), process.weight()), (Phase::Running, Weight::from_percent(10)));
    assert_eq!(*process.rollout.status().rollout.plan(), plan(PLAN));
    process.command(Command::RollBack).await;
    let process = process.replace(&store, "v2", other).await;
    assert_eq!(*process.rollout.status().rollout.plan(), plan(other));
    process.command(Command::Start).await;
    assert_eq!(process.weight(), Weight::from_percent(7));
}

#[tokio::test(start_paused = true)]
async fn row_7_a_higher_weight_is_undone_by_the_next_tick_with_a_warning() {
    let store = test_store();
    let process = Process::running(&store).await;
    let (_guard, warnings) = crate::support::logged(tracing::Level::WARN);
    process.shop.canary.set_weight(Weight::from_percent(70)).unwrap();
    tick(&process.shop).await;
    assert_eq!((process.phase(), process.weight()), (Phase::Running, Weight::from_percent(10)));
    process.shop.canary.promote().unwrap_err();
    assert_eq!((process.phase(), process.weight()), (Phase::Running, Weight::from_percent(10)));
    let logged = warnings.lock().unwrap().join("\n");
    assert!(logged.contains("the application set the weight to 70%, which is undone"), "{logged}");
}

#[test]
fn each_row_has_a_test() {
    let (docs, tests) =
        (include_str!("../../docs/who-owns-the-weight.md"), include_str!("weight_ownership.rs"));
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let rows: Vec<_> = rows.filter(|row| row.parse::<u32>().is_ok()).collect();
    assert_eq!(rows.len(), 7);
    for row in rows {
        assert!(tests.contains(&format!("async fn row_{row}_")), "row {row}");
    }
}
