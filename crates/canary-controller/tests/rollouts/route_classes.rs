//! Monitors of a route class.

use canary_controller::store::MemoryStore;
use canary_rollout::{Actor, Phase};
use http::Request;
use tower_canary::{CanaryOptions, RouteClasses, feedback::FeedbackOptions, select::Condition};

use crate::support::{Shop, controller, managed, options, second};

const WITH_CLASS: &str = r#"
steps = [{ weight = "10%", min_duration = "2h" }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }, { measure = "failures", class = "checkout" }]
"#;

const WITHOUT_CLASS: &str = r#"
steps = [{ weight = "10%", min_duration = "2h" }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

fn shop() -> Shop {
    let checkout = Condition::path_prefix("/checkout");
    let classes = RouteClasses::new()
        .class("checkout", checkout)
        .class("search", Condition::path_prefix("/search"));
    Shop::with_options("v2", options().route_classes(classes))
}

/// Makes 999 reads and a checkout, and waits a second. Both channels fail 1% of the reads, and the
/// canary fails every checkout: in total it fails 11 of 1,000 calls and stable 10, a difference
/// that could be chance.
async fn reads_and_a_checkout(shop: &Shop) {
    second(shop, 999).await;
    let checkout = Request::post("/checkout/pay").header("x-fail", "canary");
    shop.call(checkout.body(()).unwrap()).await;
}

fn fail_some_reads(shop: &Shop) {
    shop.failing.iter().for_each(|it| it.store(10, std::sync::atomic::Ordering::Relaxed));
}

/// Returns the number of seconds until the canary is rolled back, or `None` after `seconds`.
async fn rolled_back_after(toml: &str, seconds: u32) -> Option<u32> {
    let shop = shop();
    fail_some_reads(&shop);
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, toml)).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    for after in 0..seconds {
        if rollout.status().rollout.phase() == Phase::RolledBack {
            let judgment = rollout.status().judgment.clone();
            assert_eq!(judgment.decisive().unwrap().monitor, "failures of checkout", "{judgment}");
            return Some(after);
        }
        reads_and_a_checkout(&shop).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_broken_checkout_is_found_among_healthy_reads() {
    let after =
        rolled_back_after(WITH_CLASS, 600).await.expect("the monitor of the class rolls back");
    assert!(after > 0);
    assert_eq!(rolled_back_after(WITHOUT_CLASS, after + 1).await, None, "{after} s");
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_evidence_of_a_class() {
    let store = MemoryStore::new();
    let before = {
        let shop = shop();
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, WITH_CLASS)).unwrap();
        rollout.start(Actor::person("ada"), "").await.unwrap();
        for _ in 0..20 {
            shop.call(Request::get("/checkout").body(()).unwrap()).await;
            second(&shop, 10).await;
        }
        controller.stop().await;
        rollout.status()
    };
    let shop = shop();
    let controller = controller(store);
    let rollout = controller.add(managed(&shop, WITH_CLASS)).unwrap();
    assert!(rollout.watch().wait_for(|status| status.load_error.is_none()).await.is_ok());
    let after = rollout.status();
    let checkout = &after.judgment.findings[2];
    assert_eq!(checkout.calls, before.judgment.findings[2].calls);
    assert!(checkout.calls.stable > 0);
    assert_eq!(checkout.worse.log_e.to_bits(), before.judgment.findings[2].worse.log_e.to_bits());
}

#[tokio::test]
async fn a_plan_with_an_unknown_route_class_is_refused() {
    let toml = WITH_CLASS.replace("checkout", "chekout");
    let error = controller(MemoryStore::new()).add(managed(&shop(), &toml)).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the plan has unmet requirements: monitors[2].class: no class "chekout" is counted, only "checkout", "search""#,
    );
    let nothing = Shop::new("v2");
    let error = controller(MemoryStore::new()).add(managed(&nothing, WITH_CLASS)).unwrap_err();
    let message = "no class \"checkout\" is counted: add it with `CanaryOptions::route_classes`";
    assert!(error.to_string().ends_with(message), "{error}");
    // `main` prints errors with `Debug`.
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[tokio::test]
async fn a_plan_with_an_event_that_is_not_counted_is_refused_with_all_faults_of_its_monitor() {
    let toml = r#"
        steps = [{ weight = "10%" }]
        monitors = [{ measure = { event = "ordered" }, class = "pay", count_by = "keys" }]
    "#;
    let add = |options: CanaryOptions| {
        let shop = Shop::with_options("v2", options);
        controller(MemoryStore::new()).add(managed(&shop, toml)).unwrap_err().to_string()
    };
    let error = add(options());
    let event = r#"monitors[0].measure.event: no event "ordered" is counted"#;
    assert!(error.contains(&format!("{event}: add it with `FeedbackOptions::event`")), "{error}");
    assert!(error.contains("monitors[0].class: no class \"pay\" is counted"), "{error}");
    assert!(error.contains("monitors[0].count_by: calls have keys only"), "{error}");
    let error = add(options().feedback(FeedbackOptions::new().event("paid")));
    assert!(error.contains(&format!("{event}, only \"paid\"")), "{error}");
    let error = add(options().feedback(FeedbackOptions::new().event("ordered")));
    assert!(!error.contains("no event"), "{error}");
}
