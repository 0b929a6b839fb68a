//! Tests of what the steps of a plan can express, up to the end of the rollout.

mod sim;

use canary_core::Verdict;
use canary_rollout::{Command, Phase, Plan, Releases, Rollout, outlook::Traffic};

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
