//! Restarts: a process continues the rollout of the previous one.

use std::time::Duration;

use canary_controller::{Controller, RolloutHandle, probe::ProbeRunner, store::MemoryStore};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Order, Phase};
use tokio::time::{sleep, timeout};
use tower_canary::{RouteClasses, control::ControlExt, select::Condition};

use crate::support::{Shop, controller, logged, managed, options, plan, second, until};

const PLAN: &str = r#"
on_degraded = { ramp_down = { over = "10m" } }
steps = [
    { weight = "1%", min_duration = "1m", min_calls = 20 },
    { weight = "50%", min_duration = "1m", min_calls = 100 },
]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
start = { gates = ["go"] }
gates = { go = { kind = { approval = "anyone" } } }
bake = { duration = "5m" }
"#;

struct Process {
    shop: Shop,
    controller: Controller,
    rollout: RolloutHandle,
}

impl Process {
    async fn start(store: &MemoryStore, release: &'static str) -> Self {
        let shop = Shop::new(release);
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, PLAN)).unwrap();
        let loaded = rollout.watch().wait_for(|status| status.load_error.is_none()).await.is_ok();
        assert!(loaded);
        Self { shop, controller, rollout }
    }

    async fn command(&self, command: Command) {
        let order = Order::new(command, Actor::person("ada"), "because");
        self.rollout.command(order).await.unwrap();
    }

    async fn until(&self, phase: Phase) {
        until(&self.shop, &self.rollout, phase, 100).await;
    }

    /// Advances an idle rollout to a phase.
    async fn advance_to(&self, phase: Phase) {
        if phase == Phase::Idle {
            return;
        }
        self.command(Command::Start).await;
        if phase == Phase::Starting {
            return;
        }
        self.command(Command::Approve { gate: "go".to_owned() }).await;
        self.until(Phase::Running).await;
        for _ in 0..10 {
            second(&self.shop, 100).await;
        }
        match phase {
            Phase::Paused => self.command(Command::Pause).await,
            Phase::RampingDown => self.shop.fail_canary(500),
            Phase::RolledBack => self.command(Command::RollBack).await,
            Phase::Halted => self.command(Command::Halt).await,
            Phase::Promoted => self.command(Command::PromoteFully).await,
            _ => {}
        }
        self.until(phase).await;
    }
}

const PHASES: [Phase; 9] = [
    Phase::Idle,
    Phase::Starting,
    Phase::Running,
    Phase::Paused,
    Phase::RampingDown,
    Phase::Baking,
    Phase::Promoted,
    Phase::RolledBack,
    Phase::Halted,
];

#[tokio::test(start_paused = true)]
async fn the_same_build_continues_in_every_phase_with_the_same_evidence() {
    for phase in PHASES {
        let store = MemoryStore::new();
        let process = Process::start(&store, "v2").await;
        process.advance_to(phase).await;
        process.controller.stop().await;
        let before = process.rollout.status();
        drop(process.rollout);
        drop(process.shop);

        let process = Process::start(&store, "v2").await;
        let after = process.rollout.status();
        assert_eq!(after.rollout.state(), before.rollout.state(), "{phase}");
        assert_eq!(process.shop.canary.weight(), before.rollout.weight(), "{phase}");
        assert_eq!(process.shop.canary.salt(), before.rollout.salt(), "{phase}");
        for (after, before) in after.judgment.findings.iter().zip(&before.judgment.findings) {
            assert_eq!(after.worse.log_e.to_bits(), before.worse.log_e.to_bits(), "{phase}");
            assert_eq!(after.calls, before.calls, "{phase}");
        }
        assert!(!process.rollout.is_running() || phase == after.rollout.phase());
    }
}

#[tokio::test(start_paused = true)]
async fn another_build_begins_idle_and_inherits_only_a_halt() {
    for phase in PHASES {
        let store = MemoryStore::new();
        let process = Process::start(&store, "v2").await;
        process.advance_to(phase).await;
        process.controller.stop().await;
        let attempt = process.rollout.status().rollout.attempt();
        drop(process.rollout);

        let process = Process::start(&store, "v2.1").await;
        let expected = if phase == Phase::Halted { Phase::Halted } else { Phase::Idle };
        // It takes over a rollout in progress when no other process can still run it.
        let mut status = process.rollout.watch();
        let is_taken = status.wait_for(|status| status.rollout.phase() == expected);
        timeout(Duration::from_secs(10), is_taken).await.expect("it takes over").unwrap();
        assert_eq!(process.shop.canary.weight(), Weight::ZERO, "after {phase}");
        if phase == Phase::Halted {
            process.command(Command::LiftHalt).await;
        }
        let salt = process.shop.canary.salt();
        process.command(Command::Start).await;
        assert_eq!(process.rollout.status().rollout.attempt(), attempt + 1, "after {phase}");
        assert_ne!(process.shop.canary.salt(), salt, "after {phase}");
        let judgment = &process.rollout.status().judgment;
        assert!(judgment.findings.iter().all(|finding| finding.calls.canary == 0));
    }
}

/// A rolling update may stop the driver first. The other replicas of its build go on.
#[tokio::test(start_paused = true)]
async fn another_build_leaves_a_rollout_to_the_replicas_of_its_build() {
    for millis in (0..1_000).step_by(100) {
        let store = MemoryStore::new();
        let driver = Process::start(&store, "v2").await;
        driver.advance_to(Phase::Running).await;
        let follower = Process::start(&store, "v2").await;
        // Its ticks come at another time.
        sleep(Duration::from_millis(millis)).await;
        let next = Process::start(&store, "v2.1").await;
        sleep(Duration::from_secs(20)).await;
        assert!(driver.rollout.status().is_driving);

        driver.controller.stop().await;
        sleep(Duration::from_secs(20)).await;
        let status = follower.rollout.status();
        assert!(status.is_driving, "{millis} ms");
        assert_eq!(status.rollout.phase(), Phase::Running, "{millis} ms");
        assert_eq!(next.shop.canary.weight(), Weight::ZERO, "{millis} ms");

        follower.controller.stop().await;
        sleep(Duration::from_secs(20)).await;
        assert_eq!(next.rollout.status().rollout.phase(), Phase::Idle, "{millis} ms");
    }
}

async fn with_plan(store: &MemoryStore, toml: &str) -> Process {
    let shop = Shop::new("v2");
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, toml)).unwrap();
    assert!(rollout.watch().wait_for(|status| status.load_error.is_none()).await.is_ok());
    Process { shop, controller, rollout }
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_changed_during_a_rollout_holds_after_it_and_after_further_restarts() {
    let store = MemoryStore::new();
    let first = with_plan(&store, "steps = [{ weight = '10%', min_duration = '1h' }]").await;
    first.command(Command::Start).await;
    first.controller.stop().await;

    let (guard, warnings) = logged(tracing::Level::WARN);
    let changed = "steps = [{ weight = '3%', min_duration = '1h' }]";
    let next = with_plan(&store, changed).await;
    drop(guard);
    let applies = "applies from the next start";
    let warnings = warnings.lock().unwrap().clone();
    assert_eq!(warnings.iter().filter(|it| it.contains(applies)).count(), 1, "{warnings:?}");
    assert_eq!(next.shop.canary.weight(), Weight::from_percent(10));
    assert!(next.rollout.status().summary.ends_with(applies), "{}", next.rollout.status().summary);
    let restart = next.rollout.preview(&Command::Restart).unwrap();
    assert_eq!(restart.to, Weight::from_percent(3), "{restart}");
    next.command(Command::RollBack).await;
    assert!(!next.rollout.status().summary.contains(applies));
    next.command(Command::Start).await;
    assert_eq!(next.shop.canary.weight(), Weight::from_percent(3));
    next.controller.stop().await;

    let last = with_plan(&store, changed).await;
    last.command(Command::Restart).await;
    assert_eq!(last.shop.canary.weight(), Weight::from_percent(3));
    assert_eq!(last.rollout.status().rollout.plan(), &plan(changed));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_lacks_parts_of_the_plan_in_force_says_so() {
    let store = MemoryStore::new();
    let plan = r#"
        steps = [{ weight = "10%", min_duration = "1h", probes = ["books"] }]
        monitors = [{ measure = "failures", class = "checkout" }]
        probes.books.kind.function = "books"
    "#;
    let classes = RouteClasses::new().class("checkout", Condition::path_prefix("/checkout"));
    let shop = Shop::with_options("v2", options().route_classes(classes));
    let probes = ProbeRunner::new().function("books", async || Ok::<_, String>(()));
    let first = controller(store.clone());
    let rollout = first.add(managed(&shop, plan).probes(probes)).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    first.stop().await;

    let (guard, errors) = logged(tracing::Level::ERROR);
    let _next = with_plan(&store, PLAN).await;
    drop(guard);
    let errors = errors.lock().unwrap();
    let needs = "requirements that this process does not meet";
    let error = errors.iter().find(|it| it.contains(needs)).unwrap();
    assert!(error.contains("probes.books.kind.function: no function"), "{error}");
    assert!(error.contains("monitors[0].class: no class"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_process_of_another_build_need_not_meet_the_plan_in_force() {
    let store = MemoryStore::new();
    let plan = r#"
        steps = [{ weight = "10%", min_duration = "1h", probes = ["books"] }]
        probes.books.kind.function = "books"
    "#;
    let shop = Shop::new("v2");
    let probes = ProbeRunner::new().function("books", async || Ok::<_, String>(()));
    let first = controller(store.clone());
    let rollout = first.add(managed(&shop, plan).probes(probes)).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();

    let (guard, errors) = logged(tracing::Level::ERROR);
    let next = Shop::new("v3");
    let controller = controller(store.clone());
    let waiting = controller.add(managed(&next, PLAN)).unwrap();
    waiting.watch().wait_for(|status| status.load_error.is_none()).await.unwrap();
    drop(guard);
    assert_eq!(waiting.status().rollout.releases().canary.as_str(), "v2");
    assert_eq!(*errors.lock().unwrap(), Vec::<String>::new());
}
