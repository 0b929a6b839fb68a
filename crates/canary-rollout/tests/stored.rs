//! Tests of stored rollouts, and of clocks that jump.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Action, Actor, Command, Order, Phase, Plan, Rollout, State, Tick, Timestamp, Transition,
    command::Refusal,
    event::{Event, EventKind},
    pending::Pending,
    tick::{GateAnswer, ProbeOutcome},
    variables::{VariablePatch, VariablePatches},
};
use serde_json::{Value, json};

use self::sim::{Sim, percent, releases};

const PLAN: &str = "
    steps = [{ weight = '1%', min_duration = '1m', min_calls = 10 }, { weight = '10%', min_duration = '1m' }]
    bake = { duration = '5m' }
";

const DAY: Duration = Duration::from_secs(86_400);

fn stored(rollout: &Rollout) -> Value {
    serde_json::to_value(rollout).unwrap()
}

#[test]
fn unknown_fields_of_a_newer_version_are_kept() {
    let mut sim = Sim::started(PLAN);
    sim.run(30);
    let mut newer = stored(&sim.rollout);
    newer["quorum"] = json!({ "of": 3 });
    newer["plan"]["shadow"] = json!("5%");
    newer["plan"]["steps"][1]["colour"] = json!("green");
    newer["state"]["mood"] = json!("good");
    sim.rollout = serde_json::from_value(newer).unwrap();
    sim.run(60);
    let again = stored(&sim.rollout);
    assert_eq!(sim.rollout.phase(), Phase::Running);
    assert_eq!(again["quorum"], json!({ "of": 3 }));
    assert_eq!(again["plan"]["shadow"], "5%");
    assert_eq!(again["plan"]["steps"][1]["colour"], "green");
}

#[test]
fn an_invalid_document_is_rejected() {
    let whole = stored(&Sim::started(PLAN).rollout);
    for (field, wrong, expected) in [
        ("schema", json!(2), "schema version 2, expected 1"),
        ("weight", json!("101%"), "is above 100%"),
        ("state", json!({ "phase": "levitating" }), "levitating"),
        ("verdict", json!("fine"), "unknown verdict \"fine\""),
        ("plan", json!({ "steps": [] }), "expected 1 to 100 steps"),
        ("name", json!("A B"), "canary name \"A B\""),
    ] {
        let mut document = whole.clone();
        document[field] = wrong;
        let error = serde_json::from_value::<Rollout>(document).unwrap_err().to_string();
        assert!(error.contains(expected), "{field}: {error}");
    }
}

#[test]
fn a_state_that_does_not_fit_the_plan_is_rejected() {
    let mut sim = Sim::started(PLAN);
    sim.run(1);
    let mut document = stored(&sim.rollout);
    document["state"]["step"] = json!(7);
    let error = serde_json::from_value::<Rollout>(document).unwrap_err().to_string();
    assert!(error.contains("at step index 7 of 2 steps"), "{error}");

    sim.order(Command::Pause);
    let mut document = stored(&sim.rollout);
    document["state"]["stage"] = json!({ "step": { "step": 2 } });
    serde_json::from_value::<Rollout>(document).unwrap_err();

    sim.order(Command::RollBack);
    let mut document = stored(&sim.rollout);
    document["weight"] = json!("1%");
    let error = serde_json::from_value::<Rollout>(document).unwrap_err().to_string();
    assert!(
        error.contains("the stored rollout is rolled back at weight 1%, expected 0%"),
        "{error}"
    );
}

#[test]
fn a_weight_above_that_of_the_plan_is_rejected() {
    let edited = |sim: &Sim, weight: &str| {
        let mut document = stored(&sim.rollout);
        document["weight"] = json!(weight);
        serde_json::from_value::<Rollout>(document).map_err(|error| error.to_string())
    };
    let mut sim = Sim::started(PLAN);
    sim.run(1);
    for weight in ["1.0001%", "10%", "50%", "100%"] {
        let error = edited(&sim, weight).unwrap_err();
        let expected = format!("is running at weight {weight}, expected at most 1%");
        assert!(error.contains(&expected), "{error}");
    }
    edited(&sim, "0.5%").expect("a lower weight harms no one");

    sim.order(Command::Pause);
    assert!(edited(&sim, "50%").unwrap_err().contains("is paused at weight 50%"));
    sim.order(Command::SetWeight { weight: percent("50%") });
    edited(&sim, "50%").expect("an operator has set this weight");
    assert!(edited(&sim, "51%").unwrap_err().contains("expected at most 1%"));

    sim.order(Command::Promote);
    sim.run(1);
    assert_eq!(sim.rollout.phase(), Phase::Baking);
    assert!(edited(&sim, "100%").unwrap_err().contains("is baking at weight 100%"));
    sim.order(Command::PromoteFully);
    assert!(edited(&sim, "99%").unwrap_err().contains("promoted at weight 99%, expected 100%"));
}

#[test]
fn a_weight_set_by_an_operator_is_accepted_after_its_event_was_dropped() {
    let mut sim = Sim::new(PLAN);
    sim.order(Command::SetWeight { weight: percent("50%") });
    sim.order(Command::SetWeight { weight: percent("40%") });
    for _ in 0..100 {
        // Each is an event during the pause, and the clock goes back.
        sim.now = Timestamp::from_millis(sim.now.as_millis() - 1_000);
        sim.order(Command::SetWeight { weight: percent("30%") });
        sim.order(Command::SetWeight { weight: percent("40%") });
    }
    let mut document = stored(&sim.rollout);
    let events = document["history"]["events"].as_array_mut().unwrap();
    events.retain(|event| event["kind"] != "weight_set");
    assert!(events.is_empty(), "{events:?}");
    let rollout: Rollout = serde_json::from_value(document).unwrap();
    assert_eq!(rollout.weight(), percent("40%"));
}

#[test]
fn numbers_at_their_limits_do_not_overflow() {
    let mut sim = Sim::started(PLAN);
    sim.run(1);
    for field in ["/generation", "/attempt", "/history/count", "/state/progress/calls"] {
        let mut document = stored(&sim.rollout);
        *document.pointer_mut(field).unwrap() = json!(u64::MAX);
        survives(document);
    }
    for field in
        ["/clock/elapsed", "/clock/unsaved", "/state/progress/ticked", "/state/progress/waited"]
    {
        let mut document = stored(&sim.rollout);
        *document.pointer_mut(field).unwrap() = json!("366d");
        survives(document);
    }
    let mut document = stored(&sim.rollout);
    document["state"]["progress"]["since"] = json!("-009999-01-02T01:59:59Z");
    survives(document);
}

/// Ticks and commands a loaded rollout, and loads it again after each change.
fn survives(document: Value) {
    let mut sim = Sim::started(PLAN);
    sim.rollout = serde_json::from_value(document).unwrap();
    for command in [Command::Pause, Command::Resume, Command::Restart, Command::RollBack] {
        sim.run(20);
        sim.try_order(command).ok();
        sim.restart();
    }
    assert_eq!(sim.rollout.phase(), Phase::RolledBack);
    assert_eq!(sim.weight, Weight::ZERO);
}

#[test]
fn a_stored_rollout_is_readable() {
    let mut sim = Sim::started(PLAN);
    sim.run(12);
    let document = stored(&sim.rollout);
    assert_eq!(document["schema"], 1);
    assert_eq!(document["name"], "checkout");
    assert_eq!(document["releases"], json!({ "stable": "v1", "canary": "v2" }));
    assert_eq!(document["weight"], "1%");
    assert_eq!(document["verdict"], "healthy");
    let since = "2026-11-24T09:00:00Z";
    let progress = json!({ "since": since, "ticked": "12s", "waited": "12s", "calls": 12_000 });
    assert_eq!(document["state"], json!({ "phase": "running", "step": 0, "progress": progress }));
    let event = &document["history"]["events"][1];
    assert_eq!(event["kind"], "step_begun");
    assert_eq!(event["at"], since);
}

#[test]
fn events_have_the_names_that_plans_accept() {
    let mut sim = Sim::started(PLAN);
    sim.run(3_600);
    sim.order(Command::Halt);
    sim.order(Command::LiftHalt);
    let events: Vec<Event> = sim.rollout.history().cloned().collect();
    let mut names = BTreeSet::new();
    for event in events {
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["kind"], event.kind.as_str());
        assert!(EventKind::NAMES.contains(&event.kind.as_str()));
        names.insert(event.kind.as_str());
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
    }
    let expected = ["bake_begun", "halt_lifted", "halted", "promoted", "started", "step_begun"];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn long_texts_do_not_exceed_the_size_limit() {
    let long = "\"\\\u{1F426}".repeat(1_000);
    let mut toml = "on_degraded = 'freeze'\nsteps = [{ weight = '1%', ".to_owned();
    let names: Vec<_> = (0..8).map(|index| format!("'{}{index}'", "n".repeat(60))).collect();
    let names = names.join(", ");
    toml += &format!("gates = [{names}], probes = [{names}] }}]\n");
    for name in names.split(", ") {
        toml += &format!("[gates.{name}]\nkind = {{ approval = 'x' }}\n");
        toml +=
            &format!("[probes.{name}]\nkind = {{ function = 'x' }}\nfailure_threshold = 1000\n");
    }
    let mut sim = Sim::new(&toml);
    let names: Vec<String> = sim.rollout.plan().gates().keys().cloned().collect();
    let order = |command| Order::new(command, Actor::person(&long), &long);
    sim.rollout.command(sim.now, &order(Command::Start)).unwrap();
    let large = VariablePatch::new().set("text", "x".repeat(1_900));
    let large = Command::SetVariables(VariablePatches::of_overrides(large));
    sim.rollout.command(sim.now, &order(large)).unwrap();
    for round in 0..100 {
        sim.now = sim.now + Duration::from_secs(5);
        let mut tick = Tick::new(Verdict::Inconclusive, &long).with_calls(1_000);
        for name in &names {
            let failed = ProbeOutcome::Failed(long.clone());
            let passed = ProbeOutcome::Passed;
            tick = tick.with_probe(name, if round < 60 { passed } else { failed });
            tick = tick.with_answer(name, GateAnswer::NotYet(long.clone()));
        }
        if round < 50 {
            tick.verdict = Verdict::Healthy;
        }
        let transition = sim.rollout.tick(sim.now, &tick);
        if transition.actions.contains(&Action::Save) {
            let text = serde_json::to_string(&sim.rollout).unwrap();
            assert!(text.len() <= Rollout::MAX_BYTES, "{} bytes", text.len());
        }
    }
    sim.rollout.command(sim.now, &order(Command::Pause)).unwrap();
    let kept = sim.rollout.history().len();
    assert!(kept > 2, "{kept} events are kept");
}

#[test]
fn messages_of_gates_and_probes_that_grow_without_an_event_have_room() {
    let names: Vec<_> = (0..8).map(|index| format!("check-{index}")).collect();
    for kind in ["gates", "probes"] {
        let mut toml =
            format!("steps = [{{ weight = '1%', min_duration = '1s', {kind} = {names:?} }}]\n");
        for name in &names {
            toml += &format!("[{kind}.{name}]\nkind = ");
            toml += match kind {
                "gates" => "{ approval = 'x' }\n",
                _ => "{ function = 'x' }\nfailure_threshold = 1000\n",
            };
        }
        let mut sim = Sim::started(&toml);
        let report = |tick: Tick, message: &str| {
            names.iter().fold(tick, |tick, name| match kind {
                "gates" => tick.with_answer(name, GateAnswer::NotYet(message.to_owned())),
                _ => tick.with_probe(name, ProbeOutcome::Failed(message.to_owned())),
            })
        };
        let tick = || Tick::new(Verdict::Inconclusive, "");
        // Events fill the document, and from any length, the messages grow at once.
        for _ in 0..60 {
            for command in [Command::Pause, Command::Resume] {
                let order = Order::new(command, Actor::person("anna"), "x".repeat(90));
                sim.rollout.command(sim.now, &order).unwrap();
            }
            sim.now = sim.now + Duration::from_secs(2);
            // Asks the gates again.
            sim.rollout.tick(sim.now, &Tick::new(Verdict::Healthy, "").with_calls(1_000));
            sim.rollout.tick(sim.now, &report(tick(), ""));
            let mut grown = sim.rollout.clone();
            let later = sim.now + Duration::from_secs(2);
            let transition = grown.tick(later, &report(tick(), &"\"".repeat(2_000)));
            assert!(transition.events.is_empty(), "{:?}", transition.events);
            let stored = serde_json::to_string(&grown).unwrap();
            assert!(stored.len() <= Rollout::MAX_BYTES, "{kind}: {} bytes", stored.len());
        }
    }
}

#[test]
fn a_clock_that_jumps_ahead_by_a_day_reaches_no_deadline() {
    let mut sim = Sim::started(&format!("deadline = '2h'\n{PLAN}"));
    sim.run(20);
    sim.now = sim.now + DAY;
    sim.tick();
    assert_eq!(sim.waits(), "step 1 of 2, holding at 1%: 30s of 1m");
    sim.run(29);
    assert_eq!(sim.weight, percent("1%"));
    sim.run(1);
    assert_eq!(sim.weight, percent("10%"));
}

#[test]
fn a_clock_that_jumps_back_by_a_day_restarts_the_step_at_most() {
    let mut sim = Sim::started(PLAN);
    sim.run(40);
    sim.now = "2026-11-23T09:00:00Z".parse().unwrap();
    sim.tick();
    assert_eq!(sim.waits(), "step 1 of 2, holding at 1%: 0s of 1m");
    sim.run(60);
    assert_eq!(sim.weight, percent("10%"));
}

#[test]
fn a_ramp_never_rises_even_if_the_clock_jumps() {
    let mut sim =
        Sim::started(&format!("on_degraded = {{ ramp_down = {{ over = '100s' }} }}\n{PLAN}"));
    sim.run(70);
    sim.verdict = Verdict::Degraded;
    sim.tick();
    assert_eq!(sim.weight, percent("9%"));
    sim.now = sim.now + Duration::from_secs(45);
    sim.tick();
    assert_eq!(sim.weight, percent("5%"), "a clock that jumps ahead lowers the weight sooner");
    sim.now = "2026-11-24T09:00:00Z".parse().unwrap();
    sim.run(20);
    assert_eq!(sim.weight, percent("5%"), "a clock that jumps back does not raise the weight");
    sim.run(80);
    assert_eq!(sim.rollout.phase(), Phase::RolledBack);
}

#[test]
fn replicas_whose_clocks_differ_do_not_shorten_a_step() {
    let mut sim = Sim::started(PLAN);
    let begun = sim.now;
    // Two replicas tick in turn, and one clock is eight seconds ahead.
    let skew = Duration::from_secs(8);
    let mut second = 0;
    while sim.rollout.state().stage() == Some(canary_rollout::state::Stage::Step { step: 0 }) {
        second += 1;
        let now = begun + Duration::from_secs(second);
        sim.now = if second.is_multiple_of(2) { now } else { now + skew };
        sim.tick();
    }
    assert!(second >= 52, "the step ended after {second} s, expected 60 s minus the skew");
}

#[test]
fn time_without_ticks_does_not_count() {
    let mut sim = Sim::started(PLAN);
    sim.run(20);
    sim.restart();
    sim.now = sim.now + Duration::from_secs(3_600);
    sim.run(1);
    assert_eq!(sim.weight, percent("1%"));
    sim.run(31);
    assert_eq!(sim.weight, percent("10%"));
}

#[test]
fn a_new_release_starts_at_zero_with_a_new_salt() {
    let mut sim = Sim::started(PLAN);
    sim.run(100);
    let transition = sim.rollout.set_releases(sim.now, releases("v3"));
    assert_eq!(transition.actions, [Action::RollBack, Action::Save]);
    assert_eq!(transition.events[0].reason, "v3 against v1, previously v2 against v1");
    assert_eq!((sim.rollout.phase(), sim.rollout.weight()), (Phase::Idle, Weight::ZERO));
    sim.weight = Weight::ZERO;
    sim.order(Command::Start);
    assert_eq!(sim.rollout.salt(), "checkout:2");
    assert_eq!(sim.rollout.verdict(), (Verdict::Inconclusive, ""));
}

#[test]
fn a_plan_in_use_cannot_be_replaced() {
    let other: Plan = sim::plan("preset = 'AllAtOnce'");
    let mut sim = Sim::started(PLAN);
    let error = sim.rollout.replace_plan(sim.now, other.clone(), &Actor::person("bob"), "");
    let message = "the rollout is running and uses its plan: roll back first";
    assert_eq!(error.unwrap_err().to_string(), message);
    sim.order(Command::RollBack);
    let transition = sim.rollout.replace_plan(sim.now, other.clone(), &Actor::person("bob"), "");
    assert_eq!(transition.unwrap().actions, [Action::Save]);
    sim.order(Command::Start);
    assert_eq!(sim.weight, percent("99%"));
    assert_eq!(sim.rollout.plan(), &other);
}

#[test]
fn replacing_a_plan_by_itself_changes_nothing() {
    let mut sim = Sim::started(PLAN);
    let same = sim::plan(PLAN);
    let transition = sim.rollout.replace_plan(sim.now, same, &Actor::person("bob"), "").unwrap();
    assert_eq!(transition.note.as_deref(), Some("the rollout already has this plan"));
    assert!(transition.actions.is_empty());
}

#[test]
fn progress_is_saved_at_each_beat_and_an_idle_rollout_is_not() {
    let mut sim = Sim::started(PLAN);
    sim.run(1);
    sim.actions.clear();
    sim.run(50);
    assert_eq!(sim.asked(&Action::Save), 25);
    sim.order(Command::RollBack);
    sim.actions.clear();
    sim.run(3_600);
    assert_eq!(sim.actions, []);
}

#[test]
fn receivers_get_the_events_that_the_plan_names() {
    let mut sim = Sim::started(&format!(
        "{PLAN}
        [notify.all]
        webhook = {{ url = 'http://a' }}
        [notify.some]
        webhook = {{ url = 'http://b' }}
        events = ['rolled_back']"
    ));
    sim.run(5);
    sim.order(Command::RollBack);
    let count = |name: &str| {
        let is_for = |action: &&Action| matches!(action, Action::Notify { to, .. } if to == name);
        sim.actions.iter().filter(is_for).count()
    };
    assert_eq!((count("all"), count("some")), (3, 1));
}

#[test]
fn public_types_can_cross_threads() {
    fn can_cross<T: Clone + Send + Sync + 'static>() {}
    can_cross::<Plan>();
    can_cross::<Rollout>();
    can_cross::<Transition>();
    can_cross::<Refusal>();
    can_cross::<State>();
    can_cross::<Pending>();
}

#[test]
fn the_plans_in_the_guide_are_valid() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/plans.md");
    let guide = fs::read_to_string(guide).unwrap();
    let mut seen = 0;
    for block in guide.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        Plan::from_toml(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
        seen += 1;
    }
    assert!(seen >= 5);
}
