//! Tests of the time of the promotion and the regressions that are caught by then.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use std::time::Duration;

use canary_analysis::Unit;
use canary_core::Verdict;
use canary_rollout::{
    Command, Phase,
    outlook::{Outlook, Promotion, Traffic},
};

use self::sim::Sim;

const PLAN: &str = "
    steps = [
        { weight = '1%', min_duration = '5m', min_calls = 100 },
        { weight = '10%', min_duration = '10m', min_calls = 100, gates = ['boss'] },
    ]
    bake = { duration = '30m' }
    gates = { boss = { kind = { approval = 'boss' } } }
";

fn traffic(calls_per_second: f64, failure_rate: f64) -> Traffic {
    Traffic::try_new(calls_per_second, Some(failure_rate)).unwrap()
}

fn outlook(sim: &Sim, calls_per_second: f64) -> Outlook {
    sim.rollout.outlook(sim.now, &traffic(calls_per_second, 0.01))
}

/// Returns the time until the promotion.
fn until_promoted(sim: &Sim, calls_per_second: f64) -> Option<Duration> {
    match outlook(sim, calls_per_second).promotion {
        Promotion::At(at) => Some(at.since(sim.now)),
        _ => None,
    }
}

#[test]
fn the_outlook_names_time_gates_and_the_regression_that_is_caught() {
    let sim = Sim::started(PLAN);
    let outlook = outlook(&sim, 2_000.0);
    assert_eq!(outlook.gates, ["boss"]);
    let stages: Vec<_> = outlook.stages.iter().map(|it| (it.stage.as_str(), it.takes)).collect();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(
        stages,
        [("step 1 of 2", minutes(5)), ("step 2 of 2", minutes(10)), ("the bake", minutes(30))]
    );
    let text = outlook.to_string();
    assert!(
        text.starts_with(
            "promoted about 2026-11-24T09:45:00Z, if no more calls fail than on stable and gate \
             \"boss\" opens at once; a canary that fails 1."
        ),
        "{text}"
    );
    assert!(text.ends_with("% of calls, where stable fails 1%, is caught by then"), "{text}");
}

#[test]
fn the_outlook_agrees_with_the_rollout() {
    let plan = PLAN.replace(", gates = ['boss']", "");
    for (calls, calls_per_second) in [(100, 100.0), (1_000, 1_000.0)] {
        let mut sim = Sim::started(&plan);
        let expected = until_promoted(&sim, calls_per_second).unwrap();
        let began = sim.now;
        for second in 0.. {
            let left = until_promoted(&sim, calls_per_second).unwrap();
            // A tick takes a second, and each stage ends with a tick.
            let error = (began + expected).since(sim.now).abs_diff(left);
            assert!(error <= Duration::from_secs(4), "after {second} s: {left:?}");
            if second == 200 {
                break;
            }
            sim.calls = calls * u64::from(sim.weight.ppm()) / 1_000_000;
            sim.verdict = Verdict::Inconclusive;
            sim.run(1);
        }
        sim.verdict = Verdict::Healthy;
        while sim.rollout.phase() != Phase::Promoted {
            sim.calls = calls * u64::from(sim.weight.ppm()) / 1_000_000;
            sim.run(1);
        }
        let took = sim.now.since(began);
        // With the proof at hand, the minimum times decide.
        assert!(took <= expected + Duration::from_secs(4), "{took:?} {expected:?}");
    }
}

#[test]
fn the_outlook_says_what_the_traffic_is_too_small_for() {
    let sim = Sim::started(PLAN);
    assert_eq!(
        outlook(&sim, 0.01).to_string(),
        "not promoted at this traffic: step 1 of 2 needs 11d13h46m40s for its calls, and its \
         deadline is 1d"
    );
    assert_eq!(
        outlook(&sim, 0.0).to_string(),
        "not promoted at this traffic: step 1 of 2 never gets its calls, and its deadline is 1d"
    );
    let proof = outlook(&sim, 0.2).to_string();
    assert!(
        proof.starts_with("not promoted at this traffic: step 2 of 2 ")
            && proof.ends_with("its proof, and its deadline is 1d"),
        "{proof}"
    );
    assert_eq!(outlook(&sim, 0.2).caught, None);
}

#[test]
fn an_unknown_failure_rate_is_no_promise() {
    let sim = Sim::started(PLAN);
    let unknown = Traffic::try_new(100.0, None).unwrap();
    assert_eq!(
        sim.rollout.outlook(sim.now, &unknown).to_string(),
        "not known when it is promoted: step 2 of 2 needs a proof that only the failure rate of all \
         calls can forecast"
    );
    let by_keys = traffic(100.0, 0.01).counted_by(Unit::Keys);
    let unproven = sim.rollout.outlook(sim.now, &by_keys).to_string();
    assert!(unproven.starts_with("not known when it is promoted"), "{unproven}");
    let without_failures = format!("monitors = [{{ measure = 'feedback' }}]\n{PLAN}");
    let sim = Sim::started(&without_failures);
    assert!(outlook(&sim, 100.0).to_string().starts_with("not known when it is promoted"));
}

#[test]
fn operators_and_ends_are_named() {
    let mut sim = Sim::new(PLAN);
    let says = |sim: &Sim| outlook(sim, 100.0).to_string();
    assert_eq!(says(&sim), "not promoted before an operator decides: the rollout has not started");
    sim.order(Command::Start);
    sim.order(Command::Pause);
    assert_eq!(
        says(&sim),
        "not promoted before an operator decides: the rollout is paused (by anna: manual test)"
    );
    sim.order(Command::RollBack);
    assert_eq!(says(&sim), "no further promotion: rolled back");

    let sim = Sim::started("max_weight = '30%'\nsteps = [{ weight = '10%' }]");
    assert_eq!(
        says(&sim),
        "not promoted before an operator decides: all steps are done, and the plan leaves the \
         promotion to an operator"
    );
}

#[test]
fn closed_hours_and_the_deadline_of_the_rollout_count() {
    let calendar = "
        steps = [{ weight = '10%', min_duration = '10m' }]
        calendar = { hours = ['09:00-09:05'] }";
    let sim = Sim::started(calendar);
    assert_eq!(until_promoted(&sim, 2_000.0), Some(Duration::from_secs(86_400)));

    let deadline = "deadline = '20m'\nsteps = [{ weight = '10%', min_calls = 20000 }]";
    assert_eq!(
        outlook(&Sim::started(deadline), 100.0).to_string(),
        "not promoted at this traffic: the deadline of the whole rollout passes before"
    );
}

#[test]
fn a_plan_that_advances_without_proof_is_promoted_at_its_deadline() {
    let sim = Sim::started(
        "on_inconclusive = 'advance'
        steps = [{ weight = '10%', min_calls = 1, deadline = '10m' }]",
    );
    assert_eq!(until_promoted(&sim, 1.0), Some(Duration::from_secs(600)));
}

#[test]
fn proof_at_hand_needs_no_time() {
    let mut sim = Sim::started("steps = [{ weight = '10%', min_duration = '10m' }]");
    sim.verdict = Verdict::Inconclusive;
    sim.run(60);
    let without = until_promoted(&sim, 5.0).unwrap();
    sim.verdict = Verdict::Healthy;
    sim.run(1);
    assert!(until_promoted(&sim, 5.0).unwrap() < without);
    assert_eq!(until_promoted(&sim, 5.0), Some(Duration::from_secs(539)));
}

#[test]
fn a_dry_run_names_the_smallest_regression() {
    let plan = sim::plan(PLAN);
    let dry_run = plan.dry_run(2_000.0, Some(0.01)).unwrap();
    let caught = dry_run.caught.unwrap();
    assert!(caught.canary > 0.01 && caught.canary < 0.02, "{caught:?}");
    let text = dry_run.to_string();
    assert!(text.contains("caught before the promotion: a canary that fails 1."), "{text}");
    assert_eq!(plan.dry_run(2_000.0, None).unwrap().caught, None);
    let of = |calls| plan.dry_run(calls, Some(0.01)).unwrap().caught.unwrap().canary;
    assert!(of(20.0) > of(2_000.0));
}

#[test]
fn the_proof_waits_for_the_warm_up() {
    let plan = "
        monitors = [{ measure = 'failures' }, { measure = 'feedback', warm_up = '40m' }]
        start = { gates = ['go'] }
        steps = [{ weight = '10%', min_duration = '1m' }]
        gates = { go = { kind = { approval = 'go' } } }";
    let mut sim = Sim::started(plan);
    sim.verdict = Verdict::Inconclusive;
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    assert_eq!(until_promoted(&sim, 2_000.0), minutes(40), "before the first call");
    sim.order(Command::Approve { gate: "go".into() });
    let left = minutes(25);
    sim.tick_with(|tick| tick.with_warm_up_left(left));
    assert_eq!(until_promoted(&sim, 2_000.0), minutes(25), "while it warms up");
    sim.run(1);
    assert!(until_promoted(&sim, 2_000.0) < minutes(5), "afterwards");

    let failures = plan.replace("'failures' }", "'failures', warm_up = '40m' }");
    let sim = Sim::started(&failures);
    assert!(until_promoted(&sim, 2_000.0) > minutes(40), "its calls count only afterwards");
}
