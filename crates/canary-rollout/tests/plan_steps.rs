//! Tests of what the steps of a plan can express, up to the end of the rollout.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use canary_core::{Verdict, Weight};
use canary_rollout::{Command, Phase, Plan, outlook::Traffic, tick::ProbeOutcome};

use self::sim::Sim;

const DAY: u64 = 86_400;

fn fault(toml: &str) -> String {
    Plan::from_toml(toml).unwrap_err().to_string()
}

#[test]
fn a_step_and_a_gate_without_a_deadline_wait_for_longer_than_a_day() {
    let mut sim = Sim::new(
        "step_deadline = 'none'
         steps = [{ weight = '5%', gates = ['go'] }, { weight = '50%', deadline = '1h' }]
         gates = { go = { kind = { approval = 'the owner' }, deadline = 'none' } }",
    );
    sim.order(Command::Start);
    sim.calls = 0;
    sim.run(DAY + DAY / 2);
    assert_eq!(sim.waits(), "step 1 of 2, holding at 5%: 0 of 100 needed canary calls");
    sim.calls = 100;
    sim.run(DAY + DAY / 2);
    assert_eq!(sim.waits(), "step 1 of 2, holding at 5%: approval of the owner (gate \"go\")");
    sim.restart();
    sim.order(Command::Approve { gate: "go".to_owned() });
    (sim.calls, sim.verdict) = (0, Verdict::Inconclusive);
    sim.run(3_602);
    assert_eq!(sim.rollout.phase(), Phase::Paused, "{}", sim.waits());
}

#[test]
fn a_bake_without_a_deadline_waits_for_its_proof() {
    let plan = "steps = [{ weight = '5%' }]\nbake = { duration = '1m', deadline = 'none' }";
    let mut sim = Sim::started(plan);
    sim.run(1);
    sim.verdict = Verdict::Inconclusive;
    sim.run(DAY + DAY / 2);
    assert_eq!(sim.waits(), "baking at 99%: proof that the canary is healthy");
    sim.verdict = Verdict::Healthy;
    sim.run(1);
    assert_eq!(sim.rollout.phase(), Phase::Promoted);
}

#[test]
fn no_weight_by_hand_takes_calls_from_the_holdback() {
    let plan = "steps = [{ weight = '5%' }]\nbake = { duration = '1m', holdback = '2%' }";
    let mut sim = Sim::started(plan);
    sim.run(1);
    let weight = |ppm| Command::SetWeight { weight: Weight::from_ppm(ppm) };
    let refused = sim.try_order(weight(980_001)).unwrap_err().to_string();
    assert!(refused.contains("98.0001% is above the plan's maximum of 98%"), "{refused}");
    assert!(sim.try_order(weight(1_000_000)).unwrap_err().to_string().contains("promot"));
    sim.order(weight(980_000));
    assert_eq!(sim.rollout.weight(), Weight::from_ppm(980_000));
}

#[test]
fn a_plan_without_deadlines_is_stored_as_written_and_forecast_without_them() {
    let plan = sim::plan("steps = [{ weight = '5%', deadline = 'none', min_calls = 90_000 }]");
    assert_eq!(plan.steps()[0].deadline, None);
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["steps"][0]["deadline"], "none");
    assert_eq!(Plan::from_json(&json.to_string()).unwrap(), plan);

    let slow = plan.dry_run(1.0, None).unwrap();
    assert!(slow.warnings.is_empty(), "{:?}", slow.warnings);
    let sim = Sim::started("steps = [{ weight = '5%', deadline = 'none' }]");
    let outlook = sim.rollout.outlook(sim.now, &Traffic::try_new(0.0, None).unwrap());
    assert_eq!(
        outlook.to_string(),
        "not promoted at this traffic: step 1 of 1 never gets its calls, and has no deadline",
    );
}

#[test]
fn a_deadline_that_is_neither_a_duration_nor_none_is_rejected() {
    let found = fault("steps = [{ weight = '5%', deadline = 'never' }]");
    assert!(found.contains("duration \"never\": expected numbers with units"), "{found}");
    assert!(found.ends_with("or \"none\""), "{found}");
}

#[test]
fn a_plan_may_begin_at_zero_with_probes_only() {
    let plan = "
        advance_when = 'healthy'
        min_calls = 7
        steps = [{ weight = '0%', min_duration = '1m', probes = ['up'] }, { weight = '5%' }]
        probes = { up = { kind = { function = 'up' } } }";
    let mut sim = Sim::new(plan);
    (sim.verdict, sim.calls) = (Verdict::Inconclusive, 0);
    sim.order(Command::Start);
    assert_eq!(sim.waits(), "step 1 of 2, holding at 0%: 0s of 1m; probe \"up\"");
    sim.run(1);
    sim.probe("up", ProbeOutcome::Passed);
    sim.restart();
    sim.run(60);
    assert_eq!(
        sim.waits(),
        "step 2 of 2, holding at 5%: 0 of 7 needed canary calls; proof that the canary is healthy",
    );
    let dry_run = sim.rollout.plan().dry_run(10.0, None).unwrap();
    assert_eq!((dry_run.steps[0].takes.as_secs(), dry_run.steps[0].calls), (60, 0));
}

#[test]
fn a_probe_that_fails_at_zero_keeps_the_canary_from_every_call() {
    let plan = "
        steps = [{ weight = '0%', min_duration = '1m', probes = ['up'] }, { weight = '5%' }]
        probes = { up = { kind = { function = 'up' }, failure_threshold = 1 } }";
    let mut sim = Sim::started(plan);
    sim.run(1);
    sim.probe("up", ProbeOutcome::Failed("status 500".to_owned()));
    assert_eq!(sim.waits(), "rolled back (probe \"up\" failed: status 500)");
}

#[test]
fn steps_that_keep_the_weight_wait_one_after_the_other() {
    let plan = "
        steps = [
            { weight = '20%', min_duration = '1m' },
            { weight = '20%', min_duration = '5m', advance_when = 'healthy' },
            { weight = '20%', min_calls = 1, gates = ['go'] },
        ]
        gates = { go = { kind = { approval = 'the owner' } } }";
    let mut sim = Sim::started(plan);
    sim.verdict = Verdict::Inconclusive;
    sim.run(60);
    assert!(sim.waits().starts_with("step 2 of 3, holding at 20%: "), "{}", sim.waits());
    sim.run(600);
    assert!(sim.waits().starts_with("step 2 of 3, holding at 20%: proof"), "{}", sim.waits());
    sim.verdict = Verdict::Healthy;
    sim.run(2);
    assert_eq!(sim.waits(), "step 3 of 3, holding at 20%: approval of the owner (gate \"go\")");
    assert_eq!(sim.weight, sim::percent("20%"));
    sim.order(Command::Approve { gate: "go".to_owned() });
    sim.run(1);
    assert_eq!(sim.rollout.phase(), Phase::Promoted);
}

#[test]
fn a_step_at_zero_that_waits_for_calls_is_rejected() {
    for (steps, expected) in [
        ("{ weight = '0%' }", "expected a weight above 0% in the last step"),
        ("{ weight = '0%', min_calls = 5 }, { weight = '1%' }", "5 calls: a step at 0% has none"),
        (
            "{ weight = '0%', advance_when = 'healthy' }, { weight = '1%' }",
            "a step at 0% has no calls that could prove the canary healthy",
        ),
        ("{ weight = '1%' }, { weight = '0%' }", "0% is below the previous step's 1%"),
        ("{ weight = '1%', min_calls = 0 }", "expected at least 1 call, found 0"),
    ] {
        let found = fault(&format!("steps = [{steps}]"));
        assert!(found.contains(expected), "{found}");
    }
}
