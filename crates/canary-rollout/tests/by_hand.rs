//! Tests of rollouts whose weight only operators set.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Action, Command, Phase, Plan, Rollout,
    event::EventKind,
    outlook::Traffic,
    plan::OnDegraded,
    variables::{VariablePatch, VariablePatches},
};
use serde_json::json;

use self::sim::{Sim, percent};

const PLAN: &str = "by_hand = true";

fn set_weight(text: &str) -> Command {
    Command::SetWeight { weight: percent(text) }
}

#[test]
fn an_operator_sets_any_weight_below_100_percent_in_small_steps() {
    let mut sim = Sim::new(PLAN);
    for weight in ["0.0001%", "10.5%", "99.9999%", "0.0002%", "0%", "50%"] {
        sim.order(set_weight(weight));
        assert_eq!(sim.weight, percent(weight));
        sim.run(2_000);
        assert_eq!(sim.weight, percent(weight), "nothing else changes the weight");
        sim.restart();
    }
    assert_eq!(sim.rollout.attempt(), 1, "the evidence of all weights counts");
    assert_eq!(sim.waits(), "by hand at 50%: waiting for an operator (by anna: manual test)");
    let refusal = sim.try_order(set_weight("100%")).unwrap_err();
    assert_eq!(refusal.reason.to_string(), "100% is a promotion: promote instead");
}

#[test]
fn a_start_waits_at_zero_for_a_weight() {
    let mut sim = Sim::started(PLAN);
    assert_eq!(sim.take_log(), ["anna started (attempt 1)"]);
    assert_eq!(sim.rollout.history().last().unwrap().phase, Phase::Paused);
    assert_eq!(sim.waits(), "by hand at 0%: waiting for an operator (by anna: manual test)");
    assert_eq!(sim.order(Command::Start).note.as_deref(), Some("the rollout has already started"));
    assert_eq!(sim.order(Command::Pause).note.as_deref(), Some("the weight changes only by hand"));
    for command in [Command::Resume, Command::SkipStep] {
        let refusal = sim.try_order(command).unwrap_err();
        let reason = "the plan has no steps: set the weight by hand, or promote";
        assert_eq!(refusal.reason.to_string(), reason);
    }
}

#[test]
fn a_promotion_a_rollback_and_a_halt_work_as_in_any_rollout() {
    let mut sim = Sim::new(PLAN);
    sim.order(set_weight("10%"));
    let backend = VariablePatch::new().set("backend", "b2");
    sim.order(Command::SetVariables(VariablePatches::of_overrides(backend.clone())));
    sim.order(Command::Promote);
    assert_eq!((sim.rollout.phase(), sim.weight), (Phase::Promoted, Weight::FULL));
    assert_eq!(sim.rollout.variables(), VariablePatches::of_stage(backend));

    sim.order(Command::RollBack);
    assert_eq!(sim.weight, Weight::ZERO);
    sim.try_order(set_weight("10%")).expect_err("only a start raises the weight");
    sim.order(Command::Start);
    sim.order(set_weight("10%"));
    assert_eq!((sim.weight, sim.rollout.attempt()), (percent("10%"), 2));

    sim.order(Command::Halt);
    sim.order(Command::LiftHalt);
    sim.order(Command::Restart);
    assert_eq!((sim.weight, sim.rollout.phase()), (Weight::ZERO, Phase::Paused));
}

#[test]
fn the_judge_reports_once_and_changes_nothing() {
    let mut sim = Sim::new(PLAN);
    sim.order(set_weight("10%"));
    sim.verdict = Verdict::Degraded;
    sim.take_log();
    sim.run(50);
    sim.restart();
    sim.run(50);
    assert_eq!(sim.take_log(), ["the judge found the canary degraded"]);
    assert_eq!(sim.weight, percent("10%"));
    let event = sim.rollout.history().last().unwrap();
    assert_eq!(
        event.to_string(),
        "2026-11-24T09:00:01Z the judge found the canary degraded, weight 10%: the canary is \
         degraded: canary fails every call"
    );
    sim.order(set_weight("20%"));
    sim.verdict = Verdict::Healthy;
    sim.run(5);
    sim.verdict = Verdict::Degraded;
    sim.run(5);
    let expected = ["anna set the weight", "the judge found the canary degraded"];
    assert_eq!(sim.take_log(), expected, "a new finding is a new event");
}

#[test]
fn the_judge_decides_if_the_plan_asks_it() {
    let mut sim = Sim::new("by_hand = true\non_degraded = 'roll_back'");
    sim.order(set_weight("10%"));
    sim.verdict = Verdict::Degraded;
    sim.run(1);
    assert_eq!((sim.rollout.phase(), sim.weight), (Phase::RolledBack, Weight::ZERO));
}

#[test]
fn the_maximum_weight_applies() {
    let mut sim = Sim::new("by_hand = true\nmax_weight = '20%'");
    sim.try_order(set_weight("20.0001%")).unwrap_err();
    sim.order(set_weight("20%"));
    sim.order(Command::Promote);
    assert_eq!(sim.weight, Weight::FULL);
}

#[test]
fn the_plan_has_all_default_monitors_and_survives_storage() {
    let plan = Plan::by_hand();
    assert!(plan.is_by_hand() && plan.steps().is_empty());
    assert_eq!(plan.on_degraded(), OnDegraded::Report);
    let of_preset = canary_rollout::plan::Preset::all()[0].plan();
    assert_eq!(plan.monitors(), of_preset.monitors());
    assert_eq!(Plan::from_toml(PLAN).unwrap(), plan);
    assert_eq!(Plan::from_json(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    let dry_run = plan.dry_run(100.0, Some(0.01)).unwrap();
    assert_eq!(dry_run.warnings, ["the weight changes only by hand: there is no forecast"]);
}

#[test]
fn fields_that_only_steps_use_are_refused() {
    for (field, toml) in [
        ("min_calls", "min_calls = 5"),
        ("step_deadline", "step_deadline = '5m'"),
        ("advance_when", "advance_when = 'healthy'"),
        ("bake", "bake = { duration = '5m' }"),
        ("deadline", "deadline = '5m'"),
        ("on_inconclusive", "on_inconclusive = 'advance'"),
        ("calendar", "calendar = { hours = ['09:00-12:00'] }"),
    ] {
        let error = Plan::from_toml(&format!("{PLAN}\n{toml}")).unwrap_err().to_string();
        let message = format!("a plan by hand has no steps, so `{field}` has no effect");
        assert!(error.contains(&message), "{error}");
    }
    for (toml, message) in [
        ("by_hand = false", "expected true, or no such field"),
        ("by_hand = true\npreset = 'AllAtOnce'", "found preset and by_hand"),
        (
            "on_degraded = 'report'\npreset = 'AllAtOnce'",
            "expected `roll_back`, `ramp_down` or `freeze`: only a plan by hand can only report",
        ),
        ("steps = []", "expected 1 to 100 steps, found none"),
    ] {
        let error = Plan::from_toml(toml).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_stored_rollout_by_hand_is_validated() {
    let mut sim = Sim::new(PLAN);
    sim.order(set_weight("10%"));
    let mut document = serde_json::to_value(&sim.rollout).unwrap();
    let progress = document["state"]["progress"].clone();
    document["weight"] = json!("0%");
    document["state"] = json!({ "phase": "starting", "progress": progress });
    let error = serde_json::from_value::<Rollout>(document).unwrap_err().to_string();
    assert!(error.contains("is starting, but its plan is by hand"), "{error}");
}

#[test]
fn previews_and_the_outlook_speak_of_no_plan() {
    let mut sim = Sim::new(PLAN);
    sim.order(set_weight("10%"));
    let preview = |command| sim.rollout.preview(sim.now, &command).unwrap().to_string();
    assert_eq!(
        preview(set_weight("20%")),
        "From the next call on, v2 gets 20% of the calls, not 10%."
    );
    assert_eq!(
        preview(Command::Promote),
        "The next call is served by v2, and all later ones. v2 is no longer judged."
    );
    let traffic = Traffic::try_new(100.0, Some(0.01)).unwrap();
    assert_eq!(
        sim.rollout.outlook(sim.now, &traffic).to_string(),
        "not promoted before an operator decides: the weight changes only by hand"
    );
}

#[test]
fn each_start_has_new_evidence() {
    let mut sim = Sim::new(PLAN);
    let begins = |actions: &[Action]| {
        actions.iter().any(|action| matches!(action, Action::BeginEvidence { .. }))
    };
    assert!(begins(&sim.order(set_weight("10%")).actions));
    assert!(!begins(&sim.order(set_weight("20%")).actions));
    assert!(begins(&sim.order(Command::Restart).actions));
    assert!(EventKind::NAMES.contains(&"found_degraded"));
}
