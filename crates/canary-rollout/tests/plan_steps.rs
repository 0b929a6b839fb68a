//! Tests of what the steps of a plan can express, up to the end of the rollout.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Action, Command, Phase, Plan, Rollout, Tick, outlook::Traffic, tick::ProbeOutcome,
};

use self::sim::Sim;

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
    sim.run_hours(36);
    assert_eq!(sim.waits(), "step 1 of 2, holding at 5%: 0 of 100 needed canary calls");
    sim.calls = 100;
    sim.run_hours(36);
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
    sim.run_hours(36);
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

const FULL: &str = "
    steps = [
        { weight = '50%', min_duration = '3m' },
        { weight = '100%', min_duration = '10m', gates = ['go'] },
    ]
    gates = { go = { kind = { approval = 'the owner' } } }";

#[test]
fn a_step_at_100_percent_needs_proof_before_and_is_taken_back_until_the_promotion() {
    let mut sim = Sim::started(FULL);
    sim.verdict = Verdict::Inconclusive;
    sim.run(600);
    assert_eq!(sim.waits(), "step 1 of 2, holding at 50%: proof that the canary is healthy");
    let refused = sim.try_order(Command::SkipStep).unwrap_err().to_string();
    assert!(refused.contains("100% is a promotion: promote instead"), "{refused}");
    sim.verdict = Verdict::Healthy;
    sim.run(2);
    assert_eq!(sim.weight, Weight::FULL);
    assert_eq!(sim.waits(), "step 2 of 2, holding at 100%: 1s of 10m");
    sim.restart();
    // Stable has no more calls, so that nothing can be proven.
    sim.verdict = Verdict::Inconclusive;
    sim.run(600);
    assert_eq!(sim.waits(), "step 2 of 2, holding at 100%: approval of the owner (gate \"go\")");
    let mut degraded = Sim { rollout: sim.rollout.clone(), ..Sim::new(FULL) };
    (degraded.now, degraded.weight, degraded.verdict) = (sim.now, sim.weight, Verdict::Degraded);
    degraded.run(1);
    assert_eq!(degraded.waits(), "rolled back (canary fails every call)");
    sim.order(Command::Approve { gate: "go".to_owned() });
    sim.run(1);
    assert_eq!(sim.waits(), "promoted (canary fails no more than stable)");
}

#[test]
fn the_end_of_a_step_at_100_percent_does_not_wait_for_the_calendar() {
    let mut sim = Sim::started(
        "steps = [{ weight = '50%' }, { weight = '100%', min_duration = '10m' }]
         calendar = { hours = ['09:00-09:05'] }",
    );
    sim.run(602);
    assert_eq!(sim.rollout.phase(), Phase::Promoted, "{}", sim.waits());
}

#[test]
fn proof_that_is_gone_when_the_calendar_opens_raises_nothing() {
    let calendar = "calendar = { hours = ['09:00-09:01'] }";
    for (plan, waits, next) in [
        (
            "steps = [{ weight = '50%', min_duration = '2m' }, { weight = '100%' }]",
            "1 of 2",
            "100%",
        ),
        (
            "steps = [{ weight = '50%', min_duration = '2m' }]\nbake = { duration = '1h' }",
            "1 of 1",
            "99%",
        ),
        ("steps = [{ weight = '50%', min_duration = '2m' }]", "1 of 1", "100%"),
        (
            "advance_when = 'healthy'
             steps = [{ weight = '50%', min_duration = '2m' }, { weight = '60%' }]",
            "1 of 2",
            "60%",
        ),
    ] {
        let mut sim = Sim::started(&format!("{plan}\n{calendar}"));
        sim.run(150);
        let closed = "the calendar, which opens at 2026-11-25T09:00:00Z";
        assert_eq!(sim.waits(), format!("step {waits}, holding at 50%: {closed}"));
        let waited = |log: &[String]| log.iter().filter(|it| it.contains("calendar")).count();
        assert_eq!(waited(&sim.log), 1, "{:?}", sim.log);

        sim.verdict = Verdict::Inconclusive;
        sim.run(1);
        sim.now = "2026-11-25T09:00:00Z".parse().unwrap();
        sim.tick();
        let proof = "proof that the canary is healthy";
        assert_eq!(sim.waits(), format!("step {waits}, holding at 50%: {proof}"));
        sim.verdict = Verdict::Healthy;
        sim.tick();
        assert_eq!(sim.weight, sim::percent(next), "{plan}");
        assert_eq!(waited(&sim.log), 1, "{:?}", sim.log);
    }
}

#[test]
fn a_step_at_100_percent_is_forecast_by_its_time() {
    let traffic = Traffic::try_new(1_000.0, Some(0.01)).unwrap();
    let sim = Sim::started(FULL);
    let outlook = sim.rollout.outlook(sim.now, &traffic).to_string();
    assert!(outlook.starts_with("promoted about 2026-11-24T09:13:00Z"), "{outlook}");
    let dry_run = sim.rollout.plan().dry_run(1_000.0, Some(0.01)).unwrap();
    assert_eq!((dry_run.total.as_secs(), dry_run.steps[1].calls), (780, 600_000));
    assert!(dry_run.caught.is_some());
}

#[test]
fn steps_at_100_percent_come_last_and_prove_nothing() {
    for (plan, expected) in [
        ("steps = [{ weight = '100%' }]", "steps[0].weight: expected a step above 0%"),
        (
            "steps = [{ weight = '0%' }, { weight = '100%' }]",
            "steps[1].weight: expected a step above 0%",
        ),
        (
            "steps = [{ weight = '9%' }, { weight = '100%' }, { weight = '99%' }]",
            "99% is below the previous step's 100%",
        ),
        (
            "steps = [{ weight = '9%' }, { weight = '100%', advance_when = 'healthy' }]",
            "steps[1].advance_when: stable has no calls at 100%",
        ),
        (
            "steps = [{ weight = '9%' }, { weight = '100%' }]\nbake = { duration = '1m' }",
            "1% leaves the canary less than the last step's 100%",
        ),
        (
            "steps = [{ weight = '9%' }, { weight = '100%' }]\nmax_weight = '50%'",
            "100% is above `max_weight`, which is 50%",
        ),
    ] {
        let found = fault(plan);
        assert!(found.contains(expected), "{found}");
    }
}

const WITHOUT_PROOF: &str = "
    steps = [{ weight = '10%', min_duration = '5m', without_proof_after = '10m' }]
    bake = { duration = '1m' }";

#[test]
fn a_step_goes_on_without_proof_after_its_time_unless_the_canary_is_degraded() {
    let mut sim = Sim::started(WITHOUT_PROOF);
    sim.verdict = Verdict::Inconclusive;
    sim.run(30);
    assert_eq!(
        sim.waits(),
        "step 1 of 1, holding at 10%: 30s of 5m; proof that the canary is healthy, or 30s of 10m \
         without it",
    );
    let early = sim.rollout.clone();
    sim.run(569);
    assert!(sim.waits().starts_with("step 1 of 1"), "{}", sim.waits());
    sim.restart();
    sim.run(1);
    assert_eq!(sim.waits(), "baking at 99%: 0 of 1 needed canary calls; 0s of 1m");
    sim.run(60);
    assert_eq!(
        sim.waits(),
        "promoted (not degraded after 10m, and the plan goes on without proof)",
    );
    assert!(sim.log.contains(&"the plan promoted the canary".to_owned()), "{:?}", sim.log);

    let mut sim = Sim { rollout: early, ..Sim::new(WITHOUT_PROOF) };
    (sim.now, sim.weight) = (sim.now + std::time::Duration::from_secs(30), sim.rollout.weight());
    sim.verdict = Verdict::Degraded;
    sim.run(1);
    assert_eq!(sim.rollout.phase(), Phase::RolledBack);
}

#[test]
fn without_proof_the_calls_are_still_needed() {
    let mut sim = Sim::started(WITHOUT_PROOF);
    (sim.verdict, sim.calls) = (Verdict::Inconclusive, 0);
    sim.run(1_200);
    assert_eq!(sim.waits(), "step 1 of 1, holding at 10%: 0 of 100 needed canary calls");
}

#[test]
fn the_time_without_proof_of_the_plan_holds_where_proof_is_needed() {
    let plan = sim::plan(
        "without_proof_after = '10m'
         steps = [
            { weight = '10%' },
            { weight = '20%', advance_when = 'healthy' },
            { weight = '50%', without_proof_after = '2h' },
            { weight = '100%', min_duration = '1m' },
         ]",
    );
    let seconds = plan.steps().iter().map(|it| it.without_proof_after.map(|it| it.as_secs()));
    assert_eq!(seconds.collect::<Vec<_>>(), [None, Some(600), Some(7_200), None]);
    assert_eq!(Plan::from_json(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    let plan = sim::plan("without_proof_after = '10m'\npreset = 'AllAtOnce'");
    assert_eq!(plan.bake().unwrap().without_proof_after.map(|it| it.as_secs()), Some(600));
    assert_eq!(Plan::from_json(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);

    for (plan, expected) in [
        (
            "steps = [{ weight = '1%', without_proof_after = '1m' }, { weight = '5%' }]",
            "steps[0].without_proof_after: has no effect: the step requires no proof",
        ),
        (
            "steps = [{ weight = '1%', without_proof_after = '1d' }]",
            "steps[0].without_proof_after: 1d is not below the step's deadline of 1d",
        ),
        (
            "without_proof_after = '2h'\nsteps = [{ weight = '1%', deadline = '1h' }]",
            "without_proof_after: 2h is not below the step's deadline of 1h",
        ),
        (
            "preset = 'AllAtOnce'\nbake = { duration = '1m', deadline = '1h', without_proof_after = '2h' }",
            "bake.without_proof_after: 2h is not below the bake's deadline of 1h",
        ),
        (
            "max_weight = '5%'\nwithout_proof_after = '2h'\nsteps = [{ weight = '5%' }]",
            "without_proof_after: has no effect: no step requires proof, because `max_weight` of 5%",
        ),
        ("by_hand = true\nwithout_proof_after = '2h'", "`without_proof_after` has no effect"),
        (
            "steps = [{ weight = '1%', without_proof_after = 10 }]",
            "such as \"10s\" or \"10m\", found the number 10",
        ),
    ] {
        let found = fault(plan);
        assert!(found.contains(expected), "{plan}\n{found}");
    }
}

#[test]
fn forecasts_say_that_a_step_goes_on_without_proof() {
    let plan = sim::plan(WITHOUT_PROOF);
    let text = plan.dry_run(10.0, Some(0.01)).unwrap().to_string();
    assert!(text.contains("total: 11m at best"), "{text}");
    assert!(
        text.contains("warning: step 1 goes on without proof after 10m: the proof needs "),
        "{text}"
    );
    let fast = plan.dry_run(10_000.0, Some(0.01)).unwrap();
    assert!(fast.warnings.is_empty(), "{:?}", fast.warnings);
    for failure_rate in [Some(0.01), None] {
        let sim = Sim::started(WITHOUT_PROOF);
        let traffic = Traffic::try_new(10.0, failure_rate).unwrap();
        let outlook = sim.rollout.outlook(sim.now, &traffic).to_string();
        assert!(outlook.contains("2026-11-24T09:11:0"), "{outlook}");
    }
}

#[test]
fn a_plan_of_100_steps_is_stored_beside_its_latest_events() {
    let steps: Vec<_> = (1..=100)
        .map(|step| {
            format!("{{ weight = '{}.9731%', min_duration = '59m', deadline = 'none' }}", step - 1)
        })
        .collect();
    let plan = format!("steps = [{}]", steps.join(","));
    let mut sim = Sim::started(&plan);
    for step in 2..=100 {
        sim.order(Command::SkipStep);
        assert!(sim.waits().starts_with(&format!("step {step} of 100")), "{}", sim.waits());
        // What grows between two events has room too.
        for evidence in ["\"".repeat(1_000), String::new()] {
            sim.now = sim.now + Rollout::SAVE_INTERVAL;
            let tick = Tick::new(Verdict::Inconclusive, evidence).with_calls(u64::MAX);
            let transition = sim.rollout.tick(sim.now, &tick);
            assert!(transition.actions.contains(&Action::Save) && transition.events.is_empty());
            let stored = serde_json::to_string(&sim.rollout).unwrap();
            assert!(stored.len() <= Rollout::MAX_BYTES, "{}", stored.len());
        }
    }
    sim.restart();
    let stored = serde_json::to_string(&sim.rollout).unwrap();
    assert!(stored.len() <= Rollout::MAX_BYTES, "{}", stored.len());
    assert!(sim.rollout.history().len() >= 16, "{}", sim.rollout.history().len());
    let found = fault(&plan.replace("]", ", { weight = '99.99%' }]"));
    assert!(found.contains("steps: expected 1 to 100 steps, found more"), "{found}");
}

/// The guide for users of other tools.
const GUIDE: &str = include_str!("../docs/coming-from.md");

/// Runs a plan without proof to its end, and approves each gate at once. Returns the weights with their
/// seconds.
fn path(toml: &str) -> (Vec<(Weight, u64)>, Sim) {
    let mut sim = Sim::new(toml);
    (sim.verdict, sim.calls) = (Verdict::Inconclusive, 1);
    sim.order(Command::Start);
    let mut path = vec![(sim.weight, 0)];
    while !matches!(sim.rollout.phase(), Phase::Promoted | Phase::Paused) {
        sim.run(1);
        let gates: Vec<String> = sim.rollout.waiting_gates().map(str::to_owned).collect();
        gates.into_iter().for_each(|gate| drop(sim.order(Command::Approve { gate })));
        let last = path.last_mut().unwrap();
        last.1 += 1;
        if last.0 != sim.weight {
            path.push((sim.weight, 0));
        }
        assert!(path.iter().all(|(_, seconds)| *seconds < 7_200), "{}", sim.waits());
    }
    (path, sim)
}

#[test]
fn the_translations_of_other_tools_end_as_their_originals() {
    let tenths: Vec<_> = (1..=9).map(|tenth| (10 * tenth, 60)).collect();
    let expected: [(&str, &[(u32, u64)]); 8] = [
        // A gate is asked with the first call, and its answer takes effect with the next tick.
        ("Argo Rollouts", &[(5, 600), (50, 2), (100, 300)]),
        ("Argo Rollouts, startingStep", &[(5, 600), (50, 600)]),
        ("Flagger", &[(5, 60), (10, 60), (20, 60), (40, 60)]),
        ("Flagger, linear", &[(10, 60), (20, 60), (30, 60), (40, 60), (50, 60)]),
        ("CodeDeploy, canary", &[(10, 300)]),
        ("CodeDeploy, linear", &tenths),
        ("AppConfig", &[(20, 360), (40, 360), (60, 360), (80, 360), (99, 1_800)]),
        ("API Gateway", &[]),
    ];
    let plans: Vec<&str> = GUIDE.split("```toml\n").skip(1).collect();
    assert_eq!(plans.len(), expected.len());
    for (plan, (tool, weights)) in plans.iter().zip(expected) {
        let (plan, _) = plan.split_once("```").unwrap();
        let (mut path, mut sim) = path(plan);
        if weights.is_empty() {
            assert!(sim.rollout.plan().is_by_hand());
            sim.order(Command::SetWeight { weight: sim::percent("10%") });
            assert_eq!(sim.weight, sim::percent("10%"));
            sim.order(Command::Promote);
        }
        assert_eq!(sim.rollout.phase(), Phase::Promoted, "{tool}");
        path.retain(|(_, seconds)| *seconds > 1);
        let weights =
            weights.iter().map(|(weight, seconds)| (Weight::from_percent(*weight), *seconds));
        assert_eq!(path, weights.collect::<Vec<_>>(), "{tool}");

        if !sim.rollout.plan().is_by_hand() {
            let mut sim = Sim::started(plan);
            sim.verdict = Verdict::Degraded;
            sim.run(1);
            assert_eq!(sim.rollout.phase(), Phase::RolledBack, "{tool}");
        }
    }
}
