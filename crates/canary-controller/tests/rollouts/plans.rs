//! The features of plans: gates, probes, reactions to a degraded canary, the calendar, the maximum
//! weight.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use canary_controller::store::testing::StoreFault;
use canary_controller::{
    RolloutHandle,
    gate::GateRunner,
    probe::{ProbeRunner, ProbeTarget},
};
use canary_core::{Channel, Weight};
use canary_rollout::{Actor, Command, Phase, tick::GateAnswer};
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{Assignment, CanaryLayer, Rating};

use crate::support::{
    Shop, controller, managed, options, order, plan, second, stored::test_store, until,
};

async fn start(rollout: &RolloutHandle) {
    rollout.start(Actor::person("ada"), "").await.unwrap();
}

async fn seconds(shop: &Shop, seconds: u32, calls: u32) {
    for _ in 0..seconds {
        second(shop, calls).await;
    }
}

fn gate(name: &str) -> String {
    name.to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_approval_opens_the_next_step_and_a_rejection_does_what_the_plan_says() {
    for (on_rejected, phase) in [("hold", Phase::Paused), ("roll_back", Phase::RolledBack)] {
        let shop = Shop::new("v2");
        let toml = format!(
            r#"
            steps = [
                {{ weight = "10%", min_calls = 1, gates = ["one"] }},
                {{ weight = "20%", min_calls = 1, gates = ["two"] }},
                {{ weight = "30%", min_calls = 1 }},
            ]
            gates.one.kind.approval = "anyone"
            gates.two = {{ kind.approval = "anyone", on_rejected = "{on_rejected}" }}
            "#
        );
        let controller = controller(test_store());
        let rollout = controller.add(managed(&shop, &toml)).unwrap();
        start(&rollout).await;
        seconds(&shop, 60, 20).await;
        assert_eq!(shop.canary.weight(), Weight::from_percent(10));
        rollout.command(order(Command::Approve { gate: gate("one") })).await.unwrap();
        seconds(&shop, 5, 20).await;
        assert_eq!(shop.canary.weight(), Weight::from_percent(20));
        rollout.command(order(Command::Reject { gate: gate("two") })).await.unwrap();
        seconds(&shop, 5, 20).await;
        assert_eq!(rollout.status().rollout.phase(), phase, "{on_rejected}");
        assert!(shop.canary.weight() <= Weight::from_percent(20));
    }
}

#[tokio::test(start_paused = true)]
async fn the_judge_rolls_back_during_a_gate_an_approval_or_a_pause() {
    let toml = r#"
        steps = [{ weight = "10%", min_calls = 1, gates = ["wait"] }, { weight = "20%", min_calls = 1 }]
        monitors = [{ measure = "failures" }]
        gates.wait = { kind.GATE, deadline = "10h" }
    "#;
    for kind in ["function = \"never\"", "approval = \"anyone\"", "pause"] {
        let shop = Shop::new("v2");
        let toml =
            toml.replace("GATE", kind.strip_prefix("pause").map_or(kind, |_| "approval = \"x\""));
        let gates = GateRunner::new(canary_controller::webhook::WebhookClient::without_transport())
            .function("never", |_| std::future::pending());
        let controller = controller(test_store());
        let rollout = controller.add(managed(&shop, &toml).gates(gates)).unwrap();
        start(&rollout).await;
        if kind == "pause" {
            rollout.command(order(Command::Pause)).await.unwrap();
        }
        seconds(&shop, 30, 20).await;
        assert_eq!(shop.canary.weight(), Weight::from_percent(10));
        shop.fail_canary(500);
        until(&shop, &rollout, Phase::RolledBack, 50).await;
        assert_eq!(shop.canary.weight(), Weight::ZERO, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_never_answers_has_a_deadline() {
    for (on_rejected, phase) in [("hold", Phase::Paused), ("roll_back", Phase::RolledBack)] {
        let shop = Shop::new("v2");
        let toml = format!(
            r#"
            steps = [{{ weight = "10%", min_calls = 1, gates = ["silent"] }}, {{ weight = "20%", min_calls = 1 }}]
            gates.silent = {{ kind.function = "silent", deadline = "2m", on_rejected = "{on_rejected}" }}
            "#
        );
        let gates = GateRunner::new(canary_controller::webhook::WebhookClient::without_transport())
            .function("silent", |_| std::future::pending());
        let controller = controller(test_store());
        let rollout = controller.add(managed(&shop, &toml).gates(gates)).unwrap();
        start(&rollout).await;
        seconds(&shop, 110, 20).await;
        assert_eq!(rollout.status().rollout.phase(), Phase::Running);
        seconds(&shop, 30, 20).await;
        let status = rollout.status();
        assert_eq!(status.rollout.phase(), phase, "{}", status.summary);
        assert!(status.summary.contains("no answer within 2m"), "{}", status.summary);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_one_step_does_not_open_the_gate_of_the_next() {
    let shop = Shop::new("v2");
    let toml = r#"
        steps = [
            { weight = "10%", min_calls = 1, gates = ["ci"] },
            { weight = "20%", min_calls = 1, gates = ["ci"] },
            { weight = "30%", min_calls = 1 },
        ]
        gates.ci = { kind.function = "slow", every = "1h", deadline = "5h" }
    "#;
    let asked = Arc::new(AtomicUsize::new(0));
    let gates = GateRunner::new(canary_controller::webhook::WebhookClient::without_transport())
        .function("slow", {
            let asked = Arc::clone(&asked);
            move |_| {
                let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
                async move {
                    if !is_first {
                        std::future::pending::<()>().await;
                    }
                    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
                    GateAnswer::Open
                }
            }
        });
    let controller = controller(test_store());
    let rollout = controller.add(managed(&shop, toml).gates(gates)).unwrap();
    start(&rollout).await;
    seconds(&shop, 3, 20).await;
    rollout.command(order(Command::SkipStep)).await.unwrap();
    seconds(&shop, 30, 20).await;
    assert_eq!(asked.load(Ordering::Relaxed), 2, "each step asks the gate");
    assert_eq!(shop.canary.weight(), Weight::from_percent(20));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_when_the_next_step_cannot_be_stored() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let toml = r#"
        steps = [{ weight = "10%", min_calls = 1, gates = ["ci"] }, { weight = "20%", min_calls = 1, min_duration = "1h" }]
        gates.ci = { kind.function = "once", every = "10h", deadline = "50h" }
    "#;
    let answers = Arc::new(Mutex::new(VecDeque::from([GateAnswer::Open])));
    let gates = GateRunner::new(canary_controller::webhook::WebhookClient::without_transport())
        .function("once", {
            let (answers, store) = (Arc::clone(&answers), store.clone());
            move |_| {
                store.fail_changes(store.changes()..store.changes() + 6, StoreFault::Unavailable);
                let answer = answers.lock().unwrap().pop_front();
                async move { answer.unwrap_or(GateAnswer::NotYet("asked twice".into())) }
            }
        });
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, toml).gates(gates)).unwrap();
    start(&rollout).await;
    seconds(&shop, 30, 20).await;
    assert_eq!(shop.canary.weight(), Weight::from_percent(20), "{}", rollout.status().summary);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_before_the_first_call_keeps_the_weight_at_zero() {
    let shop = Shop::new("v2");
    let toml = r#"
        start.probes = ["books"]
        steps = [{ weight = "10%", min_calls = 1 }]
        probes.books = { kind.function = "books", every = "5s", failure_threshold = 3 }
    "#;
    let probes = ProbeRunner::new().function("books", async || Err::<(), _>("unbalanced"));
    let controller = controller(test_store());
    let rollout = controller.add(managed(&shop, toml).probes(probes)).unwrap();
    start(&rollout).await;
    until(&shop, &rollout, Phase::RolledBack, 10).await;
    assert!(shop.canary.counts().epochs.iter().all(|epoch| epoch.weight == Weight::ZERO));
    let status = rollout.status();
    assert!(status.summary.contains(r#"probe "books" failed: unbalanced"#), "{}", status.summary);
    assert!(status.probes["books"].contains("unbalanced"));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_begins_to_fail_rolls_back_and_probes_are_not_counted_as_calls() {
    let shop = Shop::new("v2");
    let toml = r#"
        start.probes = ["health"]
        steps = [{ weight = "10%", min_calls = 1, min_duration = "1h", probes = ["health"] }]
        probes.health = { kind.http.path = "/health", every = "5s", failure_threshold = 2 }
    "#;
    let (is_failing, probed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let health = {
        let (is_failing, probed) = (Arc::clone(&is_failing), Arc::clone(&probed));
        move || {
            probed.fetch_add(1, Ordering::Relaxed);
            let is_failing = is_failing.load(Ordering::Relaxed);
            async move {
                if is_failing {
                    http::StatusCode::SERVICE_UNAVAILABLE
                } else {
                    http::StatusCode::OK
                }
            }
        }
    };
    let v2 = axum::Router::new().route("/health", axum::routing::get(health));
    let probes = ProbeRunner::new().target(ProbeTarget::router(v2));
    let controller = controller(test_store());
    let rollout = controller.add(managed(&shop, toml).probes(probes)).unwrap();
    start(&rollout).await;
    seconds(&shop, 60, 0).await;
    assert_eq!(rollout.status().rollout.phase(), Phase::Running);
    assert!(probed.load(Ordering::Relaxed) > 8);
    is_failing.store(true, Ordering::Relaxed);
    until(&shop, &rollout, Phase::RolledBack, 0).await;
    let total = shop.canary.counts().total();
    assert_eq!(total.evidence.canary.success + total.evidence.canary.failure, 0);
}

#[tokio::test(start_paused = true)]
async fn a_degraded_canary_is_ramped_down_in_steps_or_frozen() {
    for on_degraded in ["{ ramp_down = { over = \"100s\" } }", "\"freeze\""] {
        let shop = Shop::new("v2");
        let toml = format!(
            "on_degraded = {on_degraded}\nmonitors = [{{ measure = \"failures\" }}]\n\
             steps = [{{ weight = \"50%\", min_calls = 1, min_duration = \"1h\" }}]"
        );
        let controller = controller(test_store());
        let rollout = controller.add(managed(&shop, &toml)).unwrap();
        start(&rollout).await;
        seconds(&shop, 10, 20).await;
        shop.fail_canary(800);
        let is_frozen = on_degraded.contains("freeze");
        let phase = if is_frozen { Phase::Paused } else { Phase::RampingDown };
        until(&shop, &rollout, phase, 20).await;
        let before = shop.canary.weight();
        let mut weights = Vec::new();
        for _ in 0..120 {
            second(&shop, 5).await;
            weights.push(shop.canary.weight());
        }
        weights.dedup();
        if is_frozen {
            assert_eq!(weights, [Weight::from_percent(50)]);
            rollout.command(order(Command::Resume)).await.unwrap_err();
            let less = Command::SetWeight { weight: Weight::from_percent(5) };
            rollout.command(order(less)).await.unwrap();
            assert_eq!(shop.canary.weight(), Weight::from_percent(5));
        } else {
            assert!(
                weights.len() >= 9 && weights.is_sorted_by(|a, b| a > b),
                "{before} {weights:?}"
            );
            assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_inconclusive_step_holds_rolls_back_or_advances_at_its_deadline() {
    for (on_inconclusive, phase) in
        [("hold", Phase::Paused), ("roll_back", Phase::RolledBack), ("advance", Phase::Promoted)]
    {
        let shop = Shop::new("v2");
        let toml = format!(
            "on_inconclusive = \"{on_inconclusive}\"\n\
             steps = [{{ weight = \"50%\", min_calls = 1, deadline = \"1m\" }}]"
        );
        let controller = controller(test_store());
        let rollout = controller.add(managed(&shop, &toml)).unwrap();
        start(&rollout).await;
        seconds(&shop, 50, 2).await;
        assert_eq!(rollout.status().rollout.phase(), Phase::Running);
        seconds(&shop, 20, 2).await;
        assert_eq!(rollout.status().rollout.phase(), phase, "{}", rollout.status().summary);
    }
}

#[tokio::test(start_paused = true)]
async fn the_calendar_delays_increases_but_not_rollbacks() {
    let shop = Shop::new("v2");
    // The test clock starts at 09:00.
    let toml = r#"
        steps = [{ weight = "10%", min_calls = 1, min_duration = "2m" }, { weight = "20%", min_calls = 1 }]
        calendar.hours = ["09:00-09:01", "09:10-09:20"]
    "#;
    let controller = controller(test_store());
    let rollout = controller.add(managed(&shop, toml)).unwrap();
    start(&rollout).await;
    seconds(&shop, 9 * 60, 1).await;
    assert_eq!(shop.canary.weight(), Weight::from_percent(10), "{}", rollout.status().summary);
    seconds(&shop, 70, 20).await;
    assert_eq!(shop.canary.weight(), Weight::from_percent(20));
    seconds(&shop, 15 * 60, 1).await;
    rollout.command(order(Command::RollBack)).await.unwrap();
    assert_eq!(shop.canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn above_the_maximum_weight_only_an_operator_can_promote() {
    let shop = Shop::new("v2");
    let toml = "max_weight = \"30%\"\nsteps = [{ weight = \"10%\", min_calls = 1 }, { weight = \"30%\", min_calls = 1 }]";
    let controller = controller(test_store());
    let rollout = controller.add(managed(&shop, toml)).unwrap();
    start(&rollout).await;
    let above = Command::SetWeight { weight: Weight::from_percent(31) };
    rollout.command(order(above)).await.unwrap_err();
    until(&shop, &rollout, Phase::Paused, 5).await;
    seconds(&shop, 60, 5).await;
    assert_eq!(shop.canary.weight(), Weight::from_percent(30));
    rollout.command(order(Command::PromoteFully)).await.unwrap();
    assert_eq!(shop.canary.weight(), Weight::FULL);
    assert_eq!(rollout.status().rollout.plan(), &plan(toml));
}

#[tokio::test(start_paused = true)]
async fn bad_ratings_roll_the_canary_back() {
    let is_bad = Arc::new(AtomicBool::new(false));
    let serve = {
        let is_bad = Arc::clone(&is_bad);
        service_fn(move |request: http::Request<()>| {
            let is_bad = Arc::clone(&is_bad);
            async move {
                let assignment = request.extensions().get::<Assignment>().unwrap();
                let is_rated_bad =
                    assignment.channel() == Channel::Canary && is_bad.load(Ordering::Relaxed);
                // All responses have status 200.
                assignment.rate(if is_rated_bad { Rating::Bad } else { Rating::Good });
                Ok::<_, Infallible>(http::Response::new(String::new()))
            }
        })
    };
    let options = options().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options("shop", serve.clone(), options);
    let toml = r#"
        steps = [{ weight = "20%", min_calls = 1, min_duration = "1h" }]
        monitors = [{ measure = "failures" }, { measure = "feedback" }]
    "#;
    let controller = controller(test_store());
    let managed = canary_controller::Managed::new(layer.handle(), plan(toml));
    let rollout = controller.add(managed).unwrap();
    start(&rollout).await;
    for second in 0..120 {
        is_bad.store(second > 30, Ordering::Relaxed);
        for _ in 0..30 {
            layer.layer(serve.clone()).oneshot(http::Request::new(())).await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        if second <= 30 {
            assert_eq!(rollout.status().rollout.phase(), Phase::Running);
        }
    }
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::RolledBack, "{}", status.summary);
    assert!(status.summary.contains("feedback"), "{}", status.summary);
}

#[tokio::test(start_paused = true)]
async fn a_limit_takes_the_canary_back_from_a_step_at_100_percent() {
    let toml = r#"
        steps = [
            { weight = "50%", min_calls = 1, without_proof_after = "10s" },
            { weight = "100%", min_duration = "10m", min_calls = 1 },
        ]
        monitors = [
            { measure = "failures" },
            { measure = "failures", at_most = "1%" },
            { measure = { slower_than = { limit = "1s" } }, at_most = 5 },
        ]
    "#;
    for failing in [false, true] {
        let shop = Shop::new("v2");
        let controller = controller(test_store());
        let rollout = controller.add(managed(&shop, toml)).unwrap();
        start(&rollout).await;
        seconds(&shop, 15, 20).await;
        assert_eq!(shop.canary.weight(), Weight::FULL);
        let status = rollout.status();
        assert!(status.summary.starts_with("step 2 of 2, holding at 100%"), "{}", status.summary);
        shop.fail_canary(if failing { 100 } else { 0 });
        if failing {
            until(&shop, &rollout, Phase::RolledBack, 50).await;
            assert_eq!(shop.canary.weight(), Weight::ZERO);
            seconds(&shop, 5, 20).await;
            assert_eq!(rollout.status().rollout.phase(), Phase::RolledBack);
        } else {
            seconds(&shop, 600, 5).await;
            let status = rollout.status();
            assert_eq!(status.rollout.phase(), Phase::Promoted, "{}", status.summary);
            assert!(status.summary.contains("goes on without proof"), "{}", status.summary);
            assert_eq!(shop.canary.weight(), Weight::FULL);
        }
    }
}

/// The status 4xx is no failure. An event that the service counts for each response watches it.
#[tokio::test(start_paused = true)]
async fn requests_that_only_the_canary_refuses_are_watched_by_an_event() {
    let refuses = Arc::new(AtomicBool::new(false));
    let serve = {
        let refuses = Arc::clone(&refuses);
        service_fn(move |request: http::Request<()>| {
            let assignment = request.extensions().get::<Assignment>().unwrap().clone();
            let is_refused =
                assignment.channel() == Channel::Canary && refuses.load(Ordering::Relaxed);
            async move {
                let mut response = http::Response::new(String::new());
                if is_refused {
                    *response.status_mut() = http::StatusCode::BAD_REQUEST;
                }
                let is_refusal = response.status().is_client_error();
                let rating = if is_refusal { Rating::Bad } else { Rating::Good };
                assignment.rate_event("accepted", rating).unwrap();
                Ok::<_, Infallible>(response)
            }
        })
    };
    let events = tower_canary::feedback::FeedbackOptions::new().event("accepted");
    let options = options().stable_release("v1").canary_release("v2").feedback(events);
    let layer = CanaryLayer::with_options("shop", serve.clone(), options);
    let toml = r#"
        steps = [{ weight = "20%", min_calls = 1, min_duration = "1h" }]
        monitors = [{ measure = "failures" }, { measure = { event = "accepted" } }]
    "#;
    let controller = controller(test_store());
    let managed = canary_controller::Managed::new(layer.handle(), plan(toml));
    let rollout = controller.add(managed).unwrap();
    start(&rollout).await;
    for second in 0..120 {
        refuses.store(second > 30, Ordering::Relaxed);
        for _ in 0..30 {
            layer.layer(serve.clone()).oneshot(http::Request::new(())).await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        if second <= 30 {
            assert_eq!(rollout.status().rollout.phase(), Phase::Running);
        }
    }
    let status = rollout.status();
    assert_eq!(status.rollout.phase(), Phase::RolledBack, "{}", status.summary);
    assert!(status.summary.contains("accepted"), "{}", status.summary);
}
