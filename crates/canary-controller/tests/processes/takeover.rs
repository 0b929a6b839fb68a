//! Processes share a rollout: one drives it, and is killed again and again.

use std::{convert::Infallible, path::PathBuf, time::Duration};

use canary_controller::{
    Controller, Managed,
    store::{FileStore, StateStore, StoreKey},
};
use canary_core::PerChannel;
use canary_rollout::{Actor, Phase, Plan, Rollout, event::Event};
use http::{Request, Response};
use tower::{Layer, ServiceExt};
use tower_canary::{CanaryLayer, CanaryOptions};

use super::{
    child::{Process, Task, print},
    crash::rounds,
};

/// The last step lasts until the end of the test.
const PLAN: &str = r#"
warm_up = "0s"
on_inconclusive = "advance"
steps = [
    { weight = "20%", min_duration = "8s", min_calls = 1, deadline = "9s" },
    { weight = "50%", min_duration = "10h", min_calls = 1, deadline = "20h" },
]
monitors = [{ measure = "failures" }]
"#;

/// The task of a process: makes some calls, and prints its status until it is killed.
pub(super) async fn roll(directory: PathBuf) {
    let service = || {
        tower::service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(http_body_util::Empty::<&[u8]>::new()))
        })
    };
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options("shop", service(), options);
    let canary = layer.handle();
    let split = layer.layer(service());
    let controller = Controller::new(FileStore::open(directory).await.unwrap())
        .interval(Duration::from_millis(100));
    let plan = Plan::from_toml(PLAN).unwrap();
    let rollout = controller.add(Managed::new(canary.clone(), plan)).unwrap();
    rollout.watch().wait_for(|status| status.load_error.is_none()).await.unwrap();
    if rollout.status().rollout.phase() == Phase::Idle {
        rollout.start(Actor::person("ada"), "").await.unwrap();
    }
    let mut events = rollout.events();
    for round in 0.. {
        if round < 40 {
            for _ in 0..10 {
                let response = split.clone().oneshot(Request::new(())).await.unwrap();
                http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let status = rollout.status();
        let evidence = canary.counts().total().evidence;
        let counted = PerChannel::from_fn(|channel| evidence[channel].success);
        let judged = status.judgment.findings[0].calls;
        print(format!(
            "status {} {} {} {} {} {}",
            u8::from(status.is_driving),
            u8::from(round >= 40),
            counted.stable,
            counted.canary,
            judged.stable,
            judged.canary,
        ));
        while let Ok(event) = events.try_recv() {
            print(format!("event {}", serde_json::to_string(&*event).unwrap()));
        }
    }
}

struct Roller {
    process: Process,
    is_driving: bool,
    has_called: bool,
    counted: [u64; 2],
    judged: [u64; 2],
}

impl Roller {
    fn start(directory: &std::path::Path) -> Self {
        let process = Process::start(Task::Roll, directory, None);
        Self { process, is_driving: false, has_called: false, counted: [0; 2], judged: [0; 2] }
    }

    /// Reads a line. Adds the events in it.
    fn read(&mut self, known: &mut Vec<Event>) {
        let line = self.process.next_line().expect("the process runs until it is killed");
        if let Some(event) = line.strip_prefix("event ") {
            known.push(serde_json::from_str(event).unwrap());
        } else if let Some(status) = line.strip_prefix("status ") {
            let numbers: Vec<u64> = status.split(' ').map(|it| it.parse().unwrap()).collect();
            (self.is_driving, self.has_called) = (numbers[0] == 1, numbers[1] == 1);
            self.counted = [numbers[2], numbers[3]];
            self.judged = [numbers[4], numbers[5]];
        }
    }

    fn wait_until(&mut self, known: &mut Vec<Event>, what: &str, done: impl Fn(&Self) -> bool) {
        let begun = std::time::Instant::now();
        while !done(self) {
            assert!(
                begun.elapsed().as_secs() < 120,
                "{what}: counted {:?}, judged {:?}",
                self.counted,
                self.judged
            );
            self.read(known);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_over_with_the_same_evidence_whenever_the_driver_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let mut known = Vec::new();
    let mut driver = Roller::start(directory.path());
    driver.wait_until(&mut known, "the first process drives", |it| it.is_driving);
    let mut killed = [0, 0];
    for _ in 0..rounds(2) {
        let mut follower = Roller::start(directory.path());
        follower.wait_until(&mut known, "it makes its calls", |it| it.has_called);
        let sum = |it: &Roller| [killed[0] + it.counted[0], killed[1] + it.counted[1]];
        let there = follower.counted;
        driver.wait_until(&mut known, "it judges the calls of both", |it| {
            let here = sum(it);
            it.has_called && it.judged == [here[0] + there[0], here[1] + there[1]]
        });
        follower.wait_until(&mut known, "it shows the same evidence", |it| {
            !it.is_driving && it.judged == driver.judged
        });
        killed = sum(&driver);
        driver.process.kill();
        driver = follower;
        let sum = |it: &Roller| [killed[0] + it.counted[0], killed[1] + it.counted[1]];
        driver.wait_until(&mut known, "it takes over", |it| it.is_driving && it.judged == sum(it));
    }
    driver.process.kill();

    let store = FileStore::open(directory.path()).await.unwrap();
    let key = StoreKey::try_new("default", &"shop".parse().unwrap()).unwrap();
    let stored = store.load(&key).await.unwrap().unwrap();
    let rollout: Rollout = serde_json::from_str(stored.document.as_str()).unwrap();
    let history: Vec<Event> = rollout.history().cloned().collect();
    let numbers: Vec<_> = history.iter().map(|event| event.number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    for event in &known {
        assert!(history.contains(event), "{event} was published, and is not stored");
    }
    let steps: Vec<_> =
        history.iter().filter(|event| event.kind.as_str() == "step_begun").collect();
    let expected: Vec<_> = (1..=steps.len()).map(|step| format!("began step {step}")).collect();
    assert!(steps.iter().map(|step| step.kind.to_string()).eq(expected), "{steps:?}");
    let told: Vec<_> = history.iter().map(ToString::to_string).collect();
    assert!(rollout.phase() == Phase::Running && steps.len() == 2, "{told:#?}");
}
