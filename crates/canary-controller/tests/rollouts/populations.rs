//! Sticky users of a canary that is as good as stable. Which calls fail depends on the users, and
//! never on the channel.
//!
//! The judge may roll such a canary back with a probability of `alpha`, 1 %, in each rollout. It
//! does so in about one of a thousand here. The draws and the channels of the users are the same
//! in each run of the test. `POPULATION_RUNS=1000` makes a thousand rollouts of each population.

use canary_controller::store::MemoryStore;
use canary_core::Weight;
use canary_rollout::{Actor, Phase};
use http::{HeaderName, Request};
use tower_canary::{
    CanaryOptions,
    select::{Sticky, StickyHash, StickyKey, StickySecret},
};

use crate::support::{Shop, controller, managed, second};

const PLAN: &str = r#"
steps = [
    { weight = "2%", min_duration = "2h" },
    { weight = "10%", min_duration = "2h" },
    { weight = "30%", min_duration = "2h" },
]
"#;

/// The seconds at which the weight rises, so that users are seen at several weights.
const RAISES: [u32; 2] = [15, 30];

const CALLS_PER_SECOND: u32 = 50;
const SECONDS: u32 = 60;

/// A sequence of numbers in `0.0..1.0`, the same in each run of the test.
struct Draws {
    rollout: u32,
    drawn: u32,
}

impl Draws {
    fn unit(&mut self) -> f64 {
        self.drawn += 1;
        let key = format!("{} {}", self.rollout, self.drawn);
        f64::from(StickyKey::new("draws", key).bucket().index()) / 1e6
    }

    fn is(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A rank from 1 to about `users`. Rank `k` has a share in proportion to `1 / k`.
    fn zipf(&mut self, users: f64) -> f64 {
        users.powf(self.unit()).floor()
    }
}

/// A call: the user, whether it fails, and how often the user repeats it at once.
struct Call {
    user: String,
    fails: bool,
    repeats: u32,
}

fn call(user: String, fails: bool) -> Call {
    Call { user, fails, repeats: 0 }
}

/// A population: its name, and the next call in this second.
type Population = (&'static str, fn(&mut Draws, u32) -> Call);

const POPULATIONS: [Population; 7] = [
    ("users by Zipf's law, and one with half of all calls", |draws, _| {
        let user = if draws.is(0.5) { 0.0 } else { draws.zipf(2_000.0) };
        call(format!("user-{user}"), draws.is(0.01))
    }),
    ("many users by Zipf's law", |draws, _| {
        call(format!("user-{}", draws.zipf(20_000.0)), draws.is(0.01))
    }),
    ("a few users with most calls", |draws, _| {
        // Rank `k` has a share in proportion to `1 / k²`.
        let user = (1.0 / (1.0 - draws.unit())).floor();
        call(format!("user-{user}"), draws.is(0.03))
    }),
    ("a burst of new users, of whom many fail", |draws, second| {
        let is_burst = (20..30).contains(&second);
        let (user, fails) =
            if is_burst { (draws.unit() * 1e6, 0.3) } else { (draws.zipf(500.0), 0.005) };
        call(format!("user-{user}"), draws.is(fails))
    }),
    ("bots whose calls always fail", |draws, _| match draws.is(0.8) {
        true => call(format!("bot-{}", draws.zipf(20.0)), true),
        false => call(format!("user-{}", draws.zipf(2_000.0)), draws.is(0.005)),
    }),
    ("users who repeat a failed call", |draws, _| {
        let fails = draws.is(0.01);
        Call {
            repeats: if fails { 10 } else { 0 },
            ..call(format!("user-{}", draws.zipf(500.0)), fails)
        }
    }),
    ("users who fail more often the more they call", |draws, _| {
        let user = draws.zipf(2_000.0);
        call(format!("user-{user}"), draws.is(0.2 / user.sqrt()))
    }),
];

/// Returns the judgment if the canary is rolled back.
async fn rolled_back(rollout: u32, next: fn(&mut Draws, u32) -> Call) -> Option<String> {
    // Each rollout has other channels for the same users.
    let secret = StickySecret::from_bytes(u128::from(rollout).to_be_bytes());
    let options = CanaryOptions::new()
        .select(Sticky::by_header(HeaderName::from_static("x-user-id")))
        .sticky_hash(StickyHash::with_secret(secret));
    let shop = Shop::with_options("v2", options);
    let controller = controller(MemoryStore::new());
    let handle = controller.add(managed(&shop, PLAN)).unwrap();
    handle.start(Actor::person("ada"), "").await.unwrap();
    let mut draws = Draws { rollout, drawn: 0 };
    for now in 0..SECONDS {
        for _ in 0..CALLS_PER_SECOND {
            let Call { user, fails, repeats } = next(&mut draws, now);
            for _ in 0..=repeats {
                let fails = if fails { "stable,canary" } else { "" };
                let request = Request::get("/").header("x-user-id", &user).header("x-fail", fails);
                shop.call(request.body(()).unwrap()).await;
            }
        }
        second(&shop, 0).await;
        let status = handle.status();
        if status.rollout.phase() == Phase::RolledBack {
            return Some(status.judgment.to_string());
        }
        if RAISES.contains(&now) {
            handle.skip_step(Actor::person("ada"), "").await.unwrap();
        }
    }
    assert_eq!(shop.canary.weight(), Weight::from_percent(30));
    None
}

#[tokio::test(start_paused = true)]
async fn good_canaries_are_rarely_rolled_back_whatever_their_users_do() {
    let runs = std::env::var("POPULATION_RUNS").map_or(8, |runs| runs.parse().unwrap());
    let mut all = Vec::new();
    for (name, next) in POPULATIONS {
        let before = all.len();
        for rollout in 0..runs {
            all.extend(rolled_back(rollout, next).await.map(|it| format!("{name}: {it}")));
        }
        println!("{name}: {} of {runs} rolled back {:#?}", all.len() - before, &all[before..]);
    }
    // With other draws, 56 rollouts would exceed this with a probability of 1 in 3,000 at a rate of
    // `alpha`, and of less than 1 in a million at the true rate.
    let most = 3 + runs as usize * POPULATIONS.len() / 50;
    assert!(all.len() <= most, "{} rolled back, at most {most} expected: {all:#?}", all.len());
}
