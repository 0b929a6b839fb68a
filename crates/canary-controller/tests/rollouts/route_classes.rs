//! Monitors that are bound to a class of routes.

use canary_controller::store::MemoryStore;
use canary_rollout::{Actor, Phase};
use http::Request;
use tower_canary::{CanaryOptions, RouteClasses, select::Condition};

use crate::support::{Shop, controller, managed, second};

const OF_CHECKOUT: &str = r#"
steps = [{ weight = "10%", min_duration = "2h" }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }, { measure = "failures", class = "checkout" }]
"#;

const OF_THE_WHOLE: &str = r#"
steps = [{ weight = "10%", min_duration = "2h" }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

fn shop() -> Shop {
    let checkout = Condition::path_prefix("/checkout");
    let classes = RouteClasses::new()
        .class("checkout", checkout)
        .class("search", Condition::path_prefix("/search"));
    Shop::with_options("v2", CanaryOptions::new().route_classes(classes))
}

/// 999 reads, of which one in a hundred fails on either channel, and a checkout that the canary fails: it
/// fails 11 of a thousand calls where stable fails 10, which the whole shows by chance only.
async fn a_second(shop: &Shop) {
    second(shop, 999).await;
    let checkout = Request::post("/checkout/pay").header("x-fail", "canary");
    shop.call(checkout.body(()).unwrap()).await;
}

fn fail_some_reads(shop: &Shop) {
    shop.failing.iter().for_each(|it| it.store(10, std::sync::atomic::Ordering::Relaxed));
}

/// How many seconds pass until the canary is rolled back, of so many.
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
        a_second(&shop).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_broken_checkout_does_not_hide_among_healthy_reads() {
    let after = rolled_back_after(OF_CHECKOUT, 600).await.expect("the class is found");
    assert!(after > 0);
    assert_eq!(rolled_back_after(OF_THE_WHOLE, after + 1).await, None, "{after} s");
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_with_the_evidence_of_a_class() {
    let store = MemoryStore::new();
    let before = {
        let shop = shop();
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, OF_CHECKOUT)).unwrap();
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
    let rollout = controller.add(managed(&shop, OF_CHECKOUT)).unwrap();
    assert!(rollout.watch().wait_for(|status| status.load_error.is_none()).await.is_ok());
    let after = rollout.status();
    let of_checkout = &after.judgment.findings[2];
    assert_eq!(of_checkout.calls, before.judgment.findings[2].calls);
    assert!(of_checkout.calls.stable > 0);
    assert_eq!(
        of_checkout.worse.log_e.to_bits(),
        before.judgment.findings[2].worse.log_e.to_bits()
    );
}

#[tokio::test]
async fn a_plan_with_a_class_that_is_not_counted_is_refused() {
    let toml = OF_CHECKOUT.replace("checkout", "chekout");
    let error = controller(MemoryStore::new()).add(managed(&shop(), &toml)).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the plan has unmet requirements: monitors[2].class: no class "chekout" is counted, only "checkout", "search""#,
    );
    let nothing = Shop::new("v2");
    let error = controller(MemoryStore::new()).add(managed(&nothing, OF_CHECKOUT)).unwrap_err();
    let told = "no class \"checkout\" is counted: give it to `CanaryOptions::route_classes`";
    assert!(error.to_string().ends_with(told), "{error}");
}
