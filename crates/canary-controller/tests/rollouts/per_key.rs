//! Monitors that count users instead of calls.

use canary_analysis::Finding;
use canary_controller::{
    Controller, RolloutHandle,
    store::{MemoryStore, StateStore, StoreKey},
};
use canary_core::{Channel, Rating, Verdict, Weight};
use canary_rollout::{Actor, Command, Order, Phase, Rollout};
use http::{HeaderName, Request};
use tower_canary::{
    CanaryOptions, RouteClasses, Tags,
    control::ControlExt,
    feedback::FeedbackOptions,
    select::{Condition, Forced, Incoming, Propagated, Select, Sticky, StickyHash, StickyKey},
};

use crate::support::{Shop, controller, logged, managed, second, until};

const PER_KEY: &str = r#"
steps = [{ weight = "10%", min_duration = "2h" }]
monitors = [
    { measure = "failures", count_by = "keys" },
    { measure = "cancelled", count_by = "keys" },
    { measure = "share", count_by = "keys" },
    { measure = "failures", class = "checkout", count_by = "keys" },
]
"#;

/// A shop whose users have the same channels in each run of a test.
fn shop() -> Shop {
    shop_with(StickyHash::published())
}

fn shop_with(hash: StickyHash) -> Shop {
    let options = CanaryOptions::new()
        .select(Sticky::by_header(HeaderName::from_static("x-user-id")))
        .sticky_hash(hash)
        .route_classes(RouteClasses::new().class("checkout", Condition::path_prefix("/checkout")));
    Shop::with_options("v2", options)
}

/// A controller with a rollout, which is started if it is idle.
async fn start(shop: &Shop, store: &MemoryStore, toml: &str) -> (Controller, RolloutHandle) {
    let controller = controller(store.clone());
    let rollout = controller.add(managed(shop, toml)).unwrap();
    assert!(rollout.watch().wait_for(|status| status.load_error.is_none()).await.is_ok());
    if rollout.status().rollout.phase() == Phase::Idle {
        rollout.start(Actor::person("ada"), "").await.unwrap();
    }
    // The first tick applies the weight.
    second(shop, 0).await;
    (controller, rollout)
}

/// A call of a user. The channels in `failing` fail it.
async fn call(shop: &Shop, path: &str, user: &str, failing: &str) {
    let request = Request::get(path).header("x-user-id", user).header("x-fail", failing);
    shop.call(request.body(()).unwrap()).await;
}

/// A user whose calls go to the canary.
fn canary_user(shop: &Shop) -> String {
    let weight = shop.canary.weight();
    let mut users = (0..).map(|number| format!("visitor-{number}"));
    users.find(|user| weight.admits(shop.canary.sticky_key(user).bucket())).unwrap()
}

fn finding(rollout: &RolloutHandle, monitor: &str) -> Finding {
    let status = rollout.status();
    status.judgment.findings.iter().find(|it| it.monitor == monitor).unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn the_retries_of_one_user_count_as_one_failure() {
    let shop = shop();
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), PER_KEY).await;
    let unlucky = canary_user(&shop);
    for _ in 0..50 {
        for user in 0..100 {
            call(&shop, "/", &format!("user-{user}"), "").await;
        }
        for _ in 0..10 {
            call(&shop, "/", &unlucky, "canary").await;
        }
        second(&shop, 0).await;
    }
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::Running, "{}", status.judgment);
    let finding = finding(&rollout, "failures");
    assert_eq!((finding.adverse.canary, finding.adverse.stable), (1, 0));
    assert_eq!(finding.calls.stable + finding.calls.canary, 101);
    assert_ne!(finding.verdict, Verdict::Degraded);
}

#[tokio::test(start_paused = true)]
async fn failures_of_many_users_roll_the_canary_back() {
    let shop = shop();
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), PER_KEY).await;
    let mut seconds = 0;
    while rollout.status().rollout.phase() == Phase::Running && seconds < 60 {
        for user in 0..20 {
            call(&shop, "/checkout", &format!("user-{seconds}-{user}"), "canary").await;
        }
        second(&shop, 0).await;
        seconds += 1;
    }
    assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    assert!(seconds < 20, "{seconds} s");
    let [whole, checkout] = ["failures", "failures of checkout"].map(|it| finding(&rollout, it));
    assert_eq!(whole.verdict, Verdict::Degraded);
    assert_eq!((whole.adverse, whole.calls), (checkout.adverse, checkout.calls));
}

/// A plan without monitors of its own.
const DEFAULT: &str = r#"
steps = [
    { weight = "5%", min_duration = "5s" },
    { weight = "20%", min_duration = "5s" },
    { weight = "50%", min_duration = "1h" },
]
"#;

#[tokio::test(start_paused = true)]
async fn a_default_plan_keeps_a_canary_whose_few_users_make_most_calls() {
    // The canary is as good as stable. Some users make many calls, and some always fail.
    for crowd in 0..20 {
        let shop = shop();
        let (_controller, rollout) = start(&shop, &MemoryStore::new(), DEFAULT).await;
        for _ in 0..18 {
            for user in 0..40 {
                let failing = if user % 7 == 0 { "stable,canary" } else { "" };
                for _ in 0..=(12 / (user + 1)) {
                    call(&shop, "/", &format!("{crowd}-{user}"), failing).await;
                }
            }
            second(&shop, 0).await;
        }
        let status = rollout.status();
        assert_eq!(status.rollout.phase(), Phase::Running, "crowd {crowd}: {}", status.judgment);
    }
}

#[tokio::test(start_paused = true)]
async fn a_default_plan_finds_a_canary_that_fails_its_users() {
    let shop = shop();
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), DEFAULT).await;
    for round in 0..30 {
        for user in 0..40 {
            call(&shop, "/", &format!("{round}-{user}"), "canary").await;
        }
        second(&shop, 0).await;
    }
    assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_only_callers_without_a_key_is_rolled_back() {
    let shop = shop();
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), DEFAULT).await;
    for _ in 0..30 {
        for user in 0..40 {
            call(&shop, "/", &format!("user-{user}"), "").await;
            let request = Request::get("/").header("x-fail", "canary");
            shop.call(request.body(()).unwrap()).await;
        }
        second(&shop, 0).await;
    }
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::RolledBack, "{}", status.judgment);
    assert_eq!(finding(&rollout, "failures without a key").verdict, Verdict::Degraded);
    assert_eq!(finding(&rollout, "failures").adverse.canary, 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_count_users_again() {
    for users in [100, 6_000] {
        let store = MemoryStore::new();
        let calls = async |shop: &Shop| {
            for user in 0..users {
                let failing = if user % 10 == 0 { "stable,canary" } else { "" };
                call(shop, "/checkout", &format!("user-{user}"), failing).await;
            }
            second(shop, 0).await;
            second(shop, 0).await;
        };
        let before = {
            let shop = shop();
            let (controller, rollout) = start(&shop, &store, PER_KEY).await;
            calls(&shop).await;
            controller.stop().await;
            rollout
        };
        let key = StoreKey::try_new("default", &"shop".parse().unwrap()).unwrap().evidence();
        let stored = store.load(&key).await.unwrap().unwrap().document;
        assert!(stored.as_str().contains("\"key_ledgers\""));

        let shop = shop();
        let (_controller, rollout) = start(&shop, &store, PER_KEY).await;
        calls(&shop).await;
        for monitor in ["failures", "failures of checkout"] {
            let (before, after) = (finding(&before, monitor), finding(&rollout, monitor));
            assert!(before.adverse.stable > 0 && before.adverse.canary > 0);
            assert_eq!(after.adverse, before.adverse, "{users} users, {monitor}");
            assert_eq!(after.calls, before.calls, "{users} users, {monitor}");
            assert_eq!(after.worse.log_e.to_bits(), before.worse.log_e.to_bits());
            assert_eq!(after.impossible, 0);
        }
        for user in 0..500 {
            call(&shop, "/", &format!("new-{user}"), "").await;
        }
        second(&shop, 0).await;
        second(&shop, 0).await;
        let counted = finding(&rollout, "failures").calls.stable;
        assert!(counted > finding(&before, "failures").calls.stable, "{users} users");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_attempt_counts_no_users_of_the_previous_one() {
    let shop = shop();
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), PER_KEY).await;
    for user in 0..50 {
        call(&shop, "/", &format!("user-{user}"), "").await;
    }
    second(&shop, 0).await;
    assert!(finding(&rollout, "failures").calls.stable > 0);
    for command in [Command::RollBack, Command::Start] {
        rollout.command(Order::new(command, Actor::person("ada"), "")).await.unwrap();
    }
    second(&shop, 0).await;
    assert_eq!(finding(&rollout, "failures").calls.stable, 0);
    for user in 0..50 {
        call(&shop, "/", &format!("user-{user}"), "").await;
    }
    second(&shop, 0).await;
    second(&shop, 0).await;
    let again = finding(&rollout, "failures").calls;
    assert_eq!(again.stable + again.canary, 50);
}

#[tokio::test(start_paused = true)]
async fn replicas_share_a_secret_that_callers_cannot_compute_and_no_text_shows() {
    let store = MemoryStore::new();
    let (_guard, messages) = logged(tracing::Level::WARN);
    let shops = [StickyHash::default(), StickyHash::default()].map(shop_with);
    let (_controller, rollout) = start(&shops[0], &store, PER_KEY).await;
    let second_replica = controller(store.clone());
    let there = second_replica.add(managed(&shops[1], PER_KEY)).unwrap();
    until(&shops[1], &there, Phase::Running, 0).await;

    let users = || (0..100).map(|number| format!("user-{number}"));
    let keys = |shop: &Shop| users().map(|user| shop.canary.sticky_key(user)).collect::<Vec<_>>();
    let salt = shops[0].canary.salt();
    let published: Vec<_> = users().map(|user| StickyKey::new(&salt, user)).collect();
    let first = keys(&shops[0]);
    assert_eq!(first, keys(&shops[1]));
    assert_ne!(first, published);

    // Another attempt reaches other users, with the same secret.
    for command in [Command::RollBack, Command::Start] {
        rollout.command(Order::new(command, Actor::person("ada"), "")).await.unwrap();
    }
    second(&shops[0], 0).await;
    second(&shops[1], 0).await;
    assert_ne!(keys(&shops[0]), first);
    assert_eq!(keys(&shops[0]), keys(&shops[1]));

    let key = StoreKey::try_new("default", &"shop".parse().unwrap()).unwrap();
    let stored = store.load(&key).await.unwrap().unwrap();
    let stored: Rollout = serde_json::from_str(stored.document.as_str()).unwrap();
    let secret = stored.sticky_secret().unwrap().to_hex();
    let status = rollout.status();
    let mut texts = vec![
        format!("{status:?} {stored:?} {:?}", shops[0].canary),
        serde_json::to_string(&status.rollout).unwrap(),
    ];
    texts.extend(messages.lock().unwrap().iter().cloned());
    for text in texts {
        assert!(!text.contains(&secret), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn ratings_are_judged_by_users_and_not_by_their_number() {
    let options = CanaryOptions::new()
        .select(Sticky::by_header(HeaderName::from_static("x-user-id")))
        .tags(Tags::default().response_extension())
        .feedback(FeedbackOptions::new().unsigned().event("ordered"));
    let shop = Shop::with_options("v2", options);
    let toml = r#"
        steps = [{ weight = "20%", min_duration = "2h" }]
        monitors = [{ measure = "failures" }, { measure = "feedback" }, { measure = { event = "ordered" } }]
    "#;
    let (_controller, rollout) = start(&shop, &MemoryStore::new(), toml).await;
    // One unhappy user of the canary rates a hundred times, once with each receipt.
    let unhappy = canary_user(&shop);
    for _ in 0..100 {
        let receipt = shop.assignment(&unhappy).await.receipt();
        shop.canary.rate_receipt(&receipt, Rating::Bad).unwrap();
    }
    for user in 0..200 {
        shop.assignment(&format!("user-{user}")).await.rate(Rating::Good);
    }
    second(&shop, 0).await;
    second(&shop, 0).await;
    let feedback = finding(&rollout, "feedback");
    assert_eq!((feedback.adverse.canary, feedback.adverse.stable), (1, 0));
    assert_eq!(feedback.calls.canary + feedback.calls.stable, 201);
    assert_eq!(rollout.status().rollout.phase(), Phase::Running);

    // Many users of the canary do not complete their orders.
    for user in 0..400 {
        let assignment = shop.assignment(&format!("buyer-{user}")).await;
        let is_lost = assignment.channel() == Channel::Canary;
        let rating = if is_lost { Rating::Bad } else { Rating::Good };
        assignment.rate_event("ordered", rating).unwrap();
    }
    second(&shop, 0).await;
    second(&shop, 0).await;
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::RolledBack, "{}", status.judgment);
    assert_eq!(finding(&rollout, "ordered").verdict, Verdict::Degraded);
}

#[tokio::test]
async fn a_plan_counts_by_the_unit_that_the_layer_assigns() {
    let refused = |shop: &Shop, monitors: &str| {
        let toml = format!("steps = [{{ weight = \"10%\" }}]\nmonitors = [{monitors}]");
        controller(MemoryStore::new()).add(managed(shop, &toml)).unwrap_err().to_string()
    };
    assert_eq!(
        refused(
            &Shop::new("v2"),
            r#"{ measure = "failures" }, { measure = "share", count_by = "keys" }"#
        ),
        "the plan has unmet requirements: monitors[1].count_by: calls have keys only under a sticky \
         policy: set one with `CanaryOptions::select`",
    );
    assert_eq!(
        refused(
            &shop(),
            r#"{ measure = "failures" }, { measure = "cancelled", count_by = "calls" }"#
        ),
        "the plan has unmet requirements: monitors[1].count_by: the policy of the layer may keep a \
         caller on one channel, so calls are not assigned independently: omit this field, or count \
         by \"keys\". A policy that is never sticky says so with `Select::may_be_sticky`",
    );
}

#[tokio::test]
async fn each_policy_says_whether_it_may_be_sticky() {
    let users = || Sticky::by_header(HeaderName::from_static("x-user-id"));
    let header = || HeaderName::from_static("x-force");
    let testers = || Forced::by_header_if(header(), Condition::any());
    let may_be_sticky =
        |options: CanaryOptions| Shop::with_options("v2", options).canary.may_be_sticky();
    let options = CanaryOptions::new;
    assert!(!may_be_sticky(options()));
    for sticky in [
        options().select(users()),
        options().select(testers().or(Condition::any().then(users()))),
        options().select(Box::new(users()) as Box<dyn Select>),
        options().select(|_: &Incoming<'_>| None),
    ] {
        assert!(may_be_sticky(sticky));
    }
    let rules = Condition::path("/a").always().or(Condition::path("/b").never());
    let rules = rules.or(Condition::any().at_weight());
    let never = testers().or(Propagated::from_callers(Condition::any())).or(rules);
    assert!(!may_be_sticky(options().select(Box::new(never) as Box<dyn Select>)));
}
