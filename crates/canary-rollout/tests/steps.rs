//! Tests of plans from the first step to the promotion or rollback.

mod sim;

use std::time::Duration;

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Action, Command, Phase, State, Tick,
    command::RefusalReason,
    tick::{GateAnswer, ProbeOutcome},
};

use self::sim::{Sim, percent, releases};

const STORY: &str = r#"
    steps = [
        { weight = "0.1%", min_duration = "1m", min_calls = 100 },
        { weight = "10%", min_duration = "2m", min_calls = 1000 },
        { weight = "50%", min_duration = "1m" },
    ]
    bake = { duration = "5m", holdback = "2%" }
"#;

/// The input of a row of a table.
enum Do {
    Order(Command),
    /// Sets the verdict and the canary calls per second.
    See(Verdict, u64),
    Run(u64),
}

use self::Do::{Order, Run, See};

/// Runs the rows, and compares the beginning of the status after each one.
fn table(toml: &str, rows: &[(Do, &str)]) -> Sim {
    let mut sim = Sim::new(toml);
    for (row, (what, expected)) in rows.iter().enumerate() {
        match what {
            Order(command) => drop(sim.order(command.clone())),
            See(verdict, calls) => (sim.verdict, sim.calls) = (*verdict, *calls),
            Run(seconds) => sim.run(*seconds),
        }
        let found = sim.waits();
        assert!(found.starts_with(expected), "row {row}: {found:?}, expected {expected:?}");
    }
    sim
}

#[test]
fn a_good_canary_goes_from_its_first_call_to_the_promotion() {
    let mut sim = table(
        STORY,
        &[
            (See(Verdict::Inconclusive, 10), "idle: waiting for a start"),
            (
                Order(Command::Start),
                "step 1 of 3, holding at 0.1%: 0 of 100 needed canary calls; 0s of 1m",
            ),
            (Run(9), "step 1 of 3, holding at 0.1%: 90 of 100 needed canary calls; 9s of 1m"),
            (Run(50), "step 1 of 3, holding at 0.1%: 59s of 1m"),
            (Run(1), "step 2 of 3, holding at 10%: 0 of 1,000 needed canary calls; 0s of 2m"),
            (See(Verdict::Inconclusive, 5), "step 2 of 3"),
            (Run(120), "step 2 of 3, holding at 10%: 600 of 1,000 needed canary calls"),
            (Run(80), "step 3 of 3, holding at 50%"),
            (Run(600), "step 3 of 3, holding at 50%: proof that the canary is healthy"),
            (See(Verdict::Healthy, 5), "step 3 of 3, holding at 50%"),
            (Run(1), "baking at 98%: 0 of 1 needed canary calls; 0s of 5m"),
            (Run(299), "baking at 98%: 4m59s of 5m"),
        ],
    );
    assert_eq!(sim.weight, percent("98%"));
    sim.run_until_not(Phase::Baking);
    assert!(sim.waits().starts_with("promoted (canary fails no more than stable)"));
    assert_eq!(sim.weight, Weight::FULL);
    let expected = [
        "anna started (attempt 1)",
        "the plan began step 1",
        "the plan began step 2",
        "the plan began step 3",
        "the judge began the bake",
        "the judge promoted the canary",
    ];
    assert_eq!(sim.take_log(), expected);
}

#[test]
fn missing_data_neither_advances_nor_rolls_back() {
    for policy in ["hold", "roll_back", "advance"] {
        let mut sim = Sim::started(&format!("on_inconclusive = '{policy}'\n{STORY}"));
        (sim.verdict, sim.calls) = (Verdict::Inconclusive, 0);
        sim.run(3_600);
        assert_eq!(sim.waits(), "step 1 of 3, holding at 0.1%: 0 of 100 needed canary calls");
        for _ in 0..9_000 {
            sim.now = sim.now + Duration::from_secs(10);
            sim.tick();
        }
        assert_eq!(
            sim.waits(),
            "paused at 0.1%: waiting for an operator (the deadline passed with too few canary \
             calls)",
            "{policy}",
        );
    }
}

#[test]
fn a_deadline_without_proof_applies_on_inconclusive() {
    for (policy, expected) in [
        (
            "hold",
            "paused at 50%: waiting for an operator (the deadline passed without proof that the canary is healthy)",
        ),
        ("roll_back", "rolled back (the deadline passed without proof that the canary is healthy)"),
        ("advance", "baking at 98%: 0 of 1 needed canary calls; 0s of 5m"),
    ] {
        let toml = STORY.replace("\"50%\", min_duration = \"1m\"", "\"50%\", deadline = \"10m\"");
        let mut sim = Sim::started(&format!("on_inconclusive = '{policy}'\n{toml}"));
        sim.verdict = Verdict::Inconclusive;
        sim.run(180 + 599);
        assert!(sim.waits().starts_with("step 3 of 3"), "{policy}: {}", sim.waits());
        sim.run(2);
        assert_eq!(sim.waits(), expected, "{policy}");
    }
}

#[test]
fn a_plan_may_wait_for_proof_in_each_step() {
    let mut sim = Sim::started(&format!("advance_when = 'healthy'\n{STORY}"));
    sim.verdict = Verdict::Inconclusive;
    sim.run(600);
    assert_eq!(sim.waits(), "step 1 of 3, holding at 0.1%: proof that the canary is healthy");
    sim.verdict = Verdict::Healthy;
    sim.run(1);
    assert!(sim.waits().starts_with("step 2 of 3"), "{}", sim.waits());
}

#[test]
fn a_degraded_canary_is_rolled_back_at_every_stage() {
    let gate = "[start]\ngates = ['go']\n[gates.go]\nkind = { approval = 'boss' }\n";
    type Place = (&'static str, String, fn(&mut Sim));
    let places: [Place; 6] = [
        ("a gate before the start", format!("{STORY}{gate}"), |_| {}),
        ("a step", STORY.into(), |sim| sim.run(30)),
        ("the last step", STORY.into(), |sim| {
            sim.verdict = Verdict::Inconclusive;
            sim.run(400);
        }),
        ("a pause", STORY.into(), |sim| {
            sim.order(Command::Pause);
            sim.run(5);
        }),
        ("a manual weight", STORY.into(), |sim| {
            sim.order(Command::SetWeight { weight: percent("30%") });
        }),
        ("the bake", STORY.into(), |sim| {
            sim.run_until_not(Phase::Running);
            sim.run(100);
        }),
    ];
    for (place, toml, go) in places {
        let mut sim = Sim::started(&toml);
        go(&mut sim);
        sim.verdict = Verdict::Degraded;
        sim.actions.clear();
        let transition = sim.tick();
        assert_eq!(transition.actions[0], Action::RollBack, "{place}");
        assert_eq!(transition.actions[1], Action::Save, "{place}: lowering comes before saving");
        assert_eq!(sim.waits(), "rolled back (canary fails every call)", "{place}");
        sim.verdict = Verdict::Healthy;
        sim.run(3_600);
        assert_eq!(sim.weight, Weight::ZERO, "{place}: the weight stays zero");
    }
}

#[test]
fn on_degraded_can_freeze_the_weight() {
    let mut sim = Sim::started(&format!("on_degraded = 'freeze'\n{STORY}"));
    sim.run(90);
    sim.verdict = Verdict::Degraded;
    sim.run(60);
    assert_eq!(sim.weight, percent("10%"));
    assert_eq!(
        sim.waits(),
        "paused at 10%: waiting for an operator (frozen: canary fails every call)"
    );
    assert_eq!(sim.take_log().iter().filter(|line| line.contains("froze")).count(), 1);

    let refusal = sim.try_order(Command::Resume).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "cannot resume while paused: the canary is degraded: restart with new evidence, or roll \
         back; allowed commands: set-weight, promote-fully, roll-back, halt, restart, set-variables",
    );
    sim.try_order(Command::SetWeight { weight: percent("20%") }).unwrap_err();
    sim.order(Command::SetWeight { weight: percent("1%") });
    sim.try_order(Command::Resume).expect_err("a lower weight does not unfreeze the canary");
    sim.order(Command::RollBack);
    assert_eq!(sim.weight, Weight::ZERO);
}

#[test]
fn on_degraded_can_ramp_down() {
    let mut sim =
        Sim::started(&format!("on_degraded = {{ ramp_down = {{ over = '100s' }} }}\n{STORY}"));
    sim.run(90);
    sim.verdict = Verdict::Degraded;
    let mut weights = Vec::new();
    for _ in 0..100 {
        sim.run(1);
        weights.push(sim.weight.ppm());
    }
    weights.dedup();
    let tenths = [90_000, 80_000, 70_000, 60_000, 50_000, 40_000, 30_000, 20_000, 10_000, 0];
    assert_eq!(weights, tenths);
    assert_eq!(sim.rollout.phase(), Phase::RolledBack);
}

#[test]
fn the_first_call_waits_for_probes_and_gates() {
    let mut sim = Sim::started(&format!(
        "{STORY}
        start = {{ probes = ['health'], gates = ['go'] }}
        [probes.health]
        kind = {{ http = {{ path = '/health' }} }}
        every = '10s'
        failure_threshold = 2
        success_threshold = 2
        [gates.go]
        kind = {{ webhook = {{ url = 'https://ci.example/go' }} }}
        every = '20s'
        "
    ));
    let (probe, gate) = (Action::RunProbe("health".into()), Action::AskGate("go".into()));
    assert_eq!(sim.waits(), "starting: probe \"health\"");
    assert_eq!(sim.asked(&probe), 1);
    sim.run(9);
    assert_eq!(sim.asked(&probe), 0);
    sim.run(1);
    assert_eq!(sim.asked(&probe), 1, "the probe runs again after its interval");
    sim.probe("health", ProbeOutcome::Failed("status 503".into()));
    assert_eq!(sim.waits(), "starting: probe \"health\" (status 503)");
    sim.probe("health", ProbeOutcome::Passed);
    sim.probe("health", ProbeOutcome::Passed);
    assert_eq!(sim.waits(), "starting: gate \"go\"");
    assert_eq!(sim.asked(&gate), 1);
    sim.answer("go", GateAnswer::NotYet("tests run".into()));
    assert_eq!(sim.waits(), "starting: gate \"go\" (tests run)");
    sim.run(20);
    assert_eq!(sim.asked(&gate), 1, "the gate is asked again after its interval");
    assert_eq!(sim.weight, Weight::ZERO);
    sim.answer("go", GateAnswer::Open);
    assert!(sim.waits().starts_with("step 1 of 3"), "{}", sim.waits());
    assert_eq!(sim.weight, percent("0.1%"));
}

#[test]
fn a_probe_that_fails_too_often_makes_the_canary_degraded() {
    let mut sim = Sim::started(
        "steps = [{ weight = '10%', min_duration = '5m', probes = ['health'] }]
        [probes.health]
        kind = { function = 'health' }
        failure_threshold = 3",
    );
    for _ in 0..2 {
        sim.probe("health", ProbeOutcome::Failed("no answer".into()));
    }
    sim.probe("health", ProbeOutcome::Passed);
    for _ in 0..2 {
        sim.probe("health", ProbeOutcome::Failed("no answer".into()));
        assert_eq!(sim.rollout.phase(), Phase::Running);
    }
    sim.probe("health", ProbeOutcome::Failed("no answer".into()));
    assert_eq!(sim.waits(), "rolled back (probe \"health\" failed: no answer)");
    let failures = sim.take_log().into_iter().filter(|line| line == "probe \"health\" failed");
    assert_eq!(failures.count(), 2, "only the first failure in a row is an event");
}

const GATED: &str = "
    steps = [
        { weight = '1%', min_duration = '1m', gates = ['boss'] },
        { weight = '10%', min_duration = '1m' },
    ]
    [gates.boss]
    kind = { approval = 'release managers' }
    deadline = '1h'
";

#[test]
fn a_gate_without_an_answer_is_rejected_at_its_deadline() {
    let mut sim = Sim::started(GATED);
    sim.run(61);
    assert_eq!(
        sim.waits(),
        "step 1 of 2, holding at 1%: approval of release managers (gate \"boss\")"
    );
    sim.run(3_598);
    assert_eq!(sim.rollout.phase(), Phase::Running);
    sim.run(2);
    assert_eq!(
        sim.waits(),
        "paused at 1%: waiting for an operator (gate \"boss\": no answer within 1h)"
    );
    sim.order(Command::Resume);
    sim.run(1);
    assert_eq!(sim.asked(&Action::AskGate("boss".into())), 2, "the gate is asked again");
    sim.order(Command::Approve { gate: "boss".into() });
    sim.run(1);
    assert_eq!(sim.weight, percent("10%"));

    let mut sim = Sim::started(&format!("{GATED}\non_rejected = 'roll_back'"));
    sim.run(61 + 3_600);
    assert_eq!(sim.waits(), "rolled back (gate \"boss\": no answer within 1h)");
}

#[test]
fn only_a_gate_that_waits_can_be_approved() {
    let mut sim = Sim::started(GATED);
    let approve = || Command::Approve { gate: "boss".into() };
    let refusal = sim.try_order(approve()).unwrap_err();
    assert!(refusal.to_string().contains("gate \"boss\" is not waiting for an answer; no gate is"));
    sim.run(60);
    let refusal = sim.try_order(Command::Approve { gate: "bos".into() }).unwrap_err();
    assert!(refusal.to_string().contains("; waiting: \"boss\""), "{refusal}");
    let opened = sim.order(approve());
    assert_eq!(opened.events[0].reason, "manual test");
    assert_eq!(sim.order(approve()).note.as_deref(), Some("the gate is already open"));

    let mut sim = Sim::started(GATED);
    sim.run(60);
    sim.order(Command::Reject { gate: "boss".into() });
    assert_eq!(sim.waits(), "paused at 1%: waiting for an operator (gate \"boss\": manual test)");
}

#[test]
fn setting_a_weight_pauses_the_plan_and_resume_returns_to_it() {
    let mut sim = Sim::started(STORY);
    sim.run(100);
    assert!(sim.rollout.state().progress().unwrap().calls > 0);
    for manual in ["3%", "40%"] {
        sim.order(Command::SetWeight { weight: percent(manual) });
        sim.run(1_000);
        assert_eq!(sim.weight, percent(manual));
        sim.order(Command::Resume);
        assert_eq!(sim.weight, percent("10%"));
        let expected = "step 2 of 3, holding at 10%: 0 of 1,000 needed canary calls; 0s of 2m";
        assert_eq!(sim.waits(), expected, "progress at {manual} does not count for 10%");
    }
    let refusal = sim.try_order(Command::SetWeight { weight: Weight::FULL }).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::FullWeight);
}

#[test]
fn a_pause_stops_the_steps_clock_but_not_the_rollouts() {
    let mut sim = Sim::started(&format!("deadline = '20m'\n{STORY}"));
    sim.run(30);
    sim.order(Command::Pause);
    sim.run(600);
    sim.order(Command::Resume);
    assert_eq!(sim.waits(), "step 1 of 3, holding at 0.1%: 30s of 1m");
    sim.run(30);
    assert!(sim.waits().starts_with("step 2 of 3"), "{}", sim.waits());
    sim.verdict = Verdict::Inconclusive;
    sim.run(540);
    let over = "(the deadline of the whole rollout passed)";
    assert_eq!(sim.waits(), format!("paused at 50%: waiting for an operator {over}"));
    sim.order(Command::Resume);
    sim.run(600);
    assert!(
        sim.waits().starts_with("step 3 of 3"),
        "resuming restarts the deadline: {}",
        sim.waits()
    );
}

#[test]
fn the_deadline_of_the_rollout_can_roll_back_during_a_pause() {
    let toml = format!("deadline = '20m'\non_inconclusive = 'roll_back'\n{STORY}");
    let mut sim = Sim::started(&toml);
    sim.order(Command::Pause);
    sim.run(1_200);
    assert_eq!(sim.waits(), "rolled back (the deadline of the whole rollout passed)");
}

#[test]
fn a_maximum_weight_leaves_the_promotion_to_an_operator() {
    let mut sim = Sim::started("max_weight = '50%'\nsteps = [{ weight = '50%' }]");
    sim.run(10);
    assert!(
        sim.waits().contains("the plan leaves the promotion to an operator"),
        "{}",
        sim.waits()
    );
    let refusal = sim.try_order(Command::SetWeight { weight: percent("60%") }).unwrap_err();
    assert_eq!(refusal.reason.to_string(), "weight 60% is above the plan's maximum of 50%");
    sim.order(Command::Promote);
    assert_eq!(sim.waits(), "promoted (manual test)");
    assert_eq!(sim.weight, Weight::FULL);
}

#[test]
fn the_plan_raises_only_while_the_calendar_is_open_and_lowers_always() {
    let calendar = "[calendar]\ntime_zone = 'Europe/Berlin'\nhours = ['10:00-10:02']";
    let mut sim = Sim::started(&format!("{STORY}{calendar}"));
    assert_eq!(sim.weight, percent("0.1%"), "nine o'clock UTC is ten in Berlin");
    sim.run(60);
    assert_eq!(sim.weight, percent("10%"));
    sim.run(180);
    assert_eq!(
        sim.waits(),
        "step 3 of 3, still at 10%: the calendar, which opens at 2026-11-25T09:00:00Z"
    );
    assert_eq!(sim.weight, percent("10%"));
    assert_eq!(sim.take_log().pop().unwrap(), "the plan waits for the calendar");
    sim.now = "2026-11-25T09:00:00Z".parse().unwrap();
    sim.tick();
    assert_eq!(sim.weight, percent("50%"));
    sim.now = "2026-11-25T09:10:00Z".parse().unwrap();
    sim.verdict = Verdict::Degraded;
    sim.tick();
    assert_eq!(sim.rollout.phase(), Phase::RolledBack);
}

#[test]
fn an_operator_may_promote_while_the_calendar_is_closed() {
    let mut sim = Sim::started(&format!("{STORY}[calendar]\nhours = ['10:00-10:05']"));
    assert_eq!(sim.weight, Weight::ZERO, "a start waits for the calendar");
    sim.order(Command::SetWeight { weight: percent("5%") });
    assert_eq!(sim.weight, percent("5%"));
    sim.order(Command::Promote);
    assert_eq!(sim.weight, percent("98%"));
    sim.run(600);
    assert_eq!(
        sim.rollout.phase(),
        Phase::Baking,
        "the promotion after the bake waits for the calendar"
    );
    sim.order(Command::PromoteFully);
    assert_eq!(sim.weight, Weight::FULL);
}

#[test]
fn skip_step_begins_the_next_step_and_never_promotes() {
    let mut sim = Sim::started(STORY);
    sim.order(Command::SkipStep);
    assert_eq!(sim.weight, percent("10%"));
    sim.order(Command::SkipStep);
    assert_eq!(sim.weight, percent("50%"));
    let refusal = sim.try_order(Command::SkipStep).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::LastStep);
}

#[test]
fn a_halt_holds_until_it_is_lifted_and_then_a_start_is_needed() {
    let mut sim = Sim::started(STORY);
    sim.order(Command::Halt);
    sim.run(100);
    sim.restart();
    sim.rollout.set_releases(sim.now, releases("v3"));
    sim.try_order(Command::Start).expect_err("a halt persists when the releases change");
    sim.order(Command::LiftHalt);
    sim.run(100);
    assert_eq!(sim.waits(), "rolled back (halted: manual test)");
    assert_eq!(sim.weight, Weight::ZERO);
    sim.order(Command::Start);
    assert_eq!(sim.weight, percent("0.1%"));
}

#[test]
fn each_start_has_new_evidence_and_a_new_salt() {
    let mut sim = Sim::started(STORY);
    let begin = |attempt| Action::BeginEvidence { salt: format!("checkout:{attempt}") };
    assert_eq!(sim.asked(&begin(1)), 1);
    sim.run(100);
    let transition = sim.order(Command::Restart);
    let order: Vec<_> = transition.actions.iter().take(4).collect();
    let first = Action::SetWeight(percent("0.1%"));
    let zero = Action::SetWeight(Weight::ZERO);
    assert_eq!(order, [&zero, &Action::Save, &begin(2), &first]);
    sim.order(Command::RollBack);
    sim.order(Command::Start);
    assert_eq!(sim.asked(&begin(3)), 1);
    let State::Running { step: 0, progress } = sim.rollout.state() else { panic!() };
    assert_eq!(progress.calls, 0);
}

#[test]
fn a_step_that_needs_proof_says_how_long_the_canary_warms_up() {
    let mut sim = Sim::new("steps = [{ weight = '10%' , min_calls = 1 }]");
    sim.order(Command::Start);
    sim.verdict = Verdict::Inconclusive;
    let warm =
        |left: Option<Duration>| move |tick: Tick| tick.with_calls(5).with_warm_up_left(left);
    sim.tick_with(warm(Some(Duration::from_secs(90))));
    let waits = "step 1 of 1, holding at 10%: the canary's warm-up, 1m30s more; proof that the canary is \
                 healthy";
    assert_eq!(sim.waits(), waits);
    sim.restart();
    assert_eq!(sim.waits(), waits, "the rest of the warm-up is stored");
    sim.tick_with(warm(None));
    assert_eq!(sim.waits(), "step 1 of 1, holding at 10%: proof that the canary is healthy");
}
