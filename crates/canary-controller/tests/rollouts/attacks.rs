//! Callers without credentials who try to decide a release: with keys that they choose, with many
//! calls of one key, and with calls that fail on both channels.

use canary_controller::{Controller, EvidenceSources, RolloutHandle, store::MemoryStore};
use canary_core::{Channel, Weight};
use canary_rollout::Phase;
use http::{HeaderName, Request};
use tower_canary::{
    CanaryOptions,
    control::ControlExt,
    select::{Sticky, StickyHash, StickyKey, StickySecret},
};

use crate::support::{Shop, controller, managed, second};

const PLAN: &str = r#"steps = [{ weight = "10%", min_duration = "2h", min_calls = 1000000 }]"#;

/// The channels of keys are the same in each run of a test.
const HASH: StickyHash = StickyHash::with_secret(StickySecret::from_bytes(*b"attackers guess!"));

/// A sticky shop at 10 %, with 50 calls of honest users in each second. Stable fails 0.1 % of them.
struct Trial {
    shop: Shop,
    rollout: RolloutHandle,
    _controller: Controller,
    /// The percentage of honest canary calls that fail.
    canary_fails: u64,
    honest_calls: u32,
    honest_canary_calls: u32,
}

impl Trial {
    async fn start(hash: StickyHash, canary_fails: u64) -> Self {
        Self::with_plan(PLAN, hash, canary_fails).await
    }

    async fn with_plan(plan: &str, hash: StickyHash, canary_fails: u64) -> Self {
        let options = CanaryOptions::new()
            .select(Sticky::by_header(HeaderName::from_static("x-user-id")))
            .sticky_hash(hash);
        let shop = Shop::with_options("v2", options);
        let controller = controller(MemoryStore::new());
        let rollout = controller.add(managed(&shop, plan).auto_start()).unwrap();
        while shop.canary.weight() == Weight::ZERO {
            second(&shop, 0).await;
        }
        let (honest_calls, honest_canary_calls) = (0, 0);
        let _controller = controller;
        Self { shop, rollout, _controller, canary_fails, honest_calls, honest_canary_calls }
    }

    async fn call(&self, user: Option<&str>, failing: &str) {
        let mut request = Request::get("/").header("x-fail", failing);
        if let Some(user) = user {
            request = request.header("x-user-id", user);
        }
        self.shop.call(request.body(()).unwrap()).await;
    }

    /// The channel of a key, which an attacker reads from a response.
    fn channel(&self, user: &str) -> Channel {
        match self.shop.canary.weight().admits(self.shop.canary.sticky_key(user).bucket()) {
            true => Channel::Canary,
            false => Channel::Stable,
        }
    }

    /// Tries keys until one is on `channel`.
    fn key_on(&self, channel: Channel) -> String {
        let mut keys = (0..).map(|number| format!("attacker-{number}"));
        keys.find(|key| self.channel(key) == channel).unwrap()
    }

    async fn honest_call(&mut self) {
        let user = format!("user-{}", (self.honest_calls * 7_919) % 1_000);
        self.honest_calls += 1;
        let failing = match self.channel(&user) {
            Channel::Canary => {
                self.honest_canary_calls += 1;
                // Spread over all users, and the same in each run.
                let spread = StickyKey::new("fails", self.honest_canary_calls.to_le_bytes());
                if spread.hash() % 100 < self.canary_fails { "canary" } else { "" }
            }
            Channel::Stable if self.honest_calls.is_multiple_of(1_000) => "stable",
            Channel::Stable => "",
        };
        self.call(Some(&user), failing).await;
    }

    /// Lets time pass until the rollout leaves its step, at most ten minutes. Returns the canary
    /// calls of honest users until then.
    async fn run(&mut self, seconds: u32, attack: impl AsyncFn(&Self, u32)) -> u32 {
        for now in 0..seconds {
            for _ in 0..50 {
                self.honest_call().await;
            }
            attack(self, now).await;
            second(&self.shop, 0).await;
            if self.phase() != Phase::Running {
                break;
            }
        }
        self.honest_canary_calls
    }

    fn phase(&self) -> Phase {
        self.rollout.status().rollout.phase()
    }
}

/// The attacks of an outsider who can try keys. Each makes `calls` calls in a second.
async fn attack(kind: &str, calls: u32, trial: &Trial, now: u32) {
    let [stable, canary] = [Channel::Stable, Channel::Canary].map(|it| trial.key_on(it));
    for call in 0..calls {
        match kind {
            // As many good calls on the canary as its weight, and failures on stable.
            "balanced" if call % 10 == 0 => trial.call(Some(&canary), "").await,
            "balanced" if call % 2 == 0 => trial.call(Some(&stable), "stable").await,
            "balanced" => trial.call(Some(&stable), "").await,
            "good" => trial.call(Some(&canary), "").await,
            "by chance" => trial.call(None, "stable,canary").await,
            "by chance, one key" => trial.call(Some(&stable), "stable,canary").await,
            "slowly" if now.is_multiple_of(3) => trial.call(Some(&stable), "stable").await,
            "slowly" => {}
            other => panic!("unknown attack {other}"),
        }
    }
}

const ATTACKS: [(&str, u32); 9] = [
    ("balanced", 2),
    ("balanced", 5),
    ("balanced", 100),
    ("good", 30),
    ("good", 100),
    ("by chance", 10),
    ("by chance", 50),
    ("by chance, one key", 50),
    ("slowly", 2),
];

#[tokio::test(start_paused = true)]
async fn no_attack_rolls_a_good_canary_back() {
    for (kind, calls) in ATTACKS {
        // Calls without a key have random channels. The judge errs with a probability of `alpha`.
        let plan = match kind {
            "by chance" => format!("alpha = 0.000001\n{PLAN}"),
            _ => PLAN.to_owned(),
        };
        let mut trial = Trial::with_plan(&plan, HASH, 0).await;
        trial.run(60, async |trial, now| attack(kind, calls, trial, now).await).await;
        let status = trial.rollout.status();
        assert_eq!(trial.phase(), Phase::Running, "{kind}, {calls}/s: {}", status.judgment);
    }
}

#[tokio::test(start_paused = true)]
async fn no_attack_keeps_a_canary_that_fails_5_percent() {
    let mut alone = Trial::start(HASH, 5).await;
    let unattacked = alone.run(600, async |_, _| {}).await;
    assert_eq!(alone.phase(), Phase::RolledBack);
    for (kind, calls) in ATTACKS {
        let mut trial = Trial::start(HASH, 5).await;
        let needed = trial.run(600, async |trial, now| attack(kind, calls, trial, now).await).await;
        let status = trial.rollout.status();
        assert_eq!(trial.phase(), Phase::RolledBack, "{kind}, {calls}/s: {}", status.judgment);
        assert!(needed <= 3 * unattacked, "{kind}, {calls}/s: {needed} calls, alone {unattacked}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_an_attacker_computes_do_not_push_other_users_out_of_the_sample() {
    let zeros = |number: u64| format!("zero-{number}");
    for hash in [HASH, StickyHash::published()] {
        let mut trial = Trial::start(hash, 100).await;
        let salt = trial.shop.canary.salt();
        let chosen: Vec<_> = (0..)
            .map(zeros)
            .filter(|key| StickyKey::new(&salt, key).hash().trailing_zeros() >= 7)
            .take(5_000)
            .collect();
        for key in chosen {
            trial.call(Some(&key), "").await;
        }
        second(&trial.shop, 0).await;
        let harmed = trial.run(60, async |_, _| {}).await;
        assert_eq!(trial.phase(), Phase::RolledBack, "{}", trial.rollout.status().judgment);
        assert!(harmed < 100, "{harmed} canary calls failed");
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_and_the_reason_of_a_rollback_say_that_few_callers_made_the_evidence() {
    let mut trial = Trial::start(HASH, 0).await;
    trial.run(5, async |trial, now| attack("good", 100, trial, now).await).await;
    let EvidenceSources { keys, largest_part, capped, .. } = trial.rollout.status().sources;
    assert!((200..260).contains(&keys.unwrap()), "{keys:?}");
    assert!((0.6..0.7).contains(&largest_part.unwrap()), "{largest_part:?}");
    assert!(capped > 300, "{capped}");
    let warning = trial.rollout.status().sources.warning().unwrap();
    assert!(warning.contains("one key makes 6"), "{warning}");

    // Two users, one of each channel. No other user has called yet.
    let shop = Trial::start(HASH, 0).await;
    let canary_keys = (0..).map(|number| format!("key-{number}"));
    let mut canary_keys = canary_keys.filter(|key| shop.channel(key) == Channel::Canary);
    for _ in 0..6 {
        shop.call(Some(&canary_keys.next().unwrap()), "canary").await;
    }
    second(&shop.shop, 0).await;
    second(&shop.shop, 0).await;
    let status = shop.rollout.status();
    assert_eq!(status.rollout.phase(), Phase::RolledBack, "{}", status.judgment);
    let (_, evidence) = status.rollout.verdict();
    assert!(evidence.ends_with("the evidence is of only 6 keys"), "{evidence}");
}

#[tokio::test(start_paused = true)]
async fn a_single_key_never_rolls_a_canary_back() {
    let trial = Trial::start(HASH, 0).await;
    let canary = trial.key_on(Channel::Canary);
    for _ in 0..20 {
        for _ in 0..50 {
            trial.call(Some(&canary), "canary").await;
        }
        second(&trial.shop, 0).await;
    }
    assert_eq!(trial.phase(), Phase::Running, "{}", trial.rollout.status().judgment);
}
