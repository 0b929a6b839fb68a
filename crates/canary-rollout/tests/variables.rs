//! Tests of the variables that commands set.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use canary_rollout::{
    Action, Command, Phase, Rollout,
    command::CommandName,
    event::EventKind,
    variables::{VariablePatch, VariablePatches},
};
use serde_json::json;

use self::sim::{Sim, releases};

const PLAN: &str = "steps = [{ weight = '10%', min_duration = '1m' }]";

fn patch() -> VariablePatch {
    VariablePatch::new()
}

fn stage(patch: VariablePatch) -> Command {
    Command::SetVariables(VariablePatches::of_stage(patch))
}

fn overrides(patch: VariablePatch) -> Command {
    Command::SetVariables(VariablePatches::of_overrides(patch))
}

/// Returns the variables that the last action set.
fn applied(actions: &[Action]) -> Option<&VariablePatches> {
    actions.iter().rev().find_map(|action| match action {
        Action::SetVariables(patches) => Some(patches),
        _ => None,
    })
}

#[test]
fn a_command_changes_variables_in_every_state_and_keeps_the_weight() {
    for command in [Command::Start, Command::PromoteFully, Command::RollBack, Command::Halt] {
        let mut sim = Sim::started(PLAN);
        let _ = sim.try_order(command);
        let (phase, weight) = (sim.rollout.phase(), sim.rollout.weight());
        let transition = sim.order(stage(patch().set("limit", 20)));
        assert_eq!(transition.actions.len(), 2, "{phase}");
        assert_eq!(transition.actions[0], Action::Save, "{phase}");
        assert!(applied(&transition.actions).is_some(), "{phase}");
        assert_eq!((sim.rollout.phase(), sim.rollout.weight()), (phase, weight));
    }
}

#[test]
fn the_event_names_the_variables_but_not_their_values() {
    let mut sim = Sim::new(PLAN);
    let mut patches = VariablePatches::of_stage(patch().remove("limit"));
    patches.overrides = patch().set("password", "hunter2").set("backend", "b2");
    let transition = sim.order(Command::SetVariables(patches.clone()));
    let event = &transition.events[0];
    assert_eq!(
        event.to_string(),
        "2026-11-24T09:00:00Z anna set the variables limit of the stage and backend, password of \
         the canary, weight 0%: manual test"
    );
    let written = serde_json::to_value(event).unwrap();
    assert_eq!(written["kind"], "variables_set");
    assert_eq!(written["overrides"], json!(["backend", "password"]));
    assert!(!written.to_string().contains("hunter2"));
    assert!(!format!("{patches:?} {:?}", sim.rollout).contains("hunter2"));
}

#[test]
fn a_restarted_process_gets_the_variables_before_the_weight() {
    let mut sim = Sim::started(PLAN);
    sim.order(overrides(patch().set("backend", "b2").remove("limit")));
    sim.order(stage(patch().set("limit", 20)));
    let stored = serde_json::to_string(&sim.rollout).unwrap();
    let loaded: Rollout = serde_json::from_str(&stored).unwrap();
    let mut expected = VariablePatches::of_stage(patch().set("limit", 20));
    expected.overrides = patch().set("backend", "b2").remove("limit");
    assert_eq!(
        loaded.in_force(),
        [
            Action::LiftHalt,
            Action::SetVariables(expected),
            Action::SetWeight("10%".parse().unwrap())
        ]
    );
}

#[test]
fn a_promotion_merges_the_variables_in_the_same_write_and_a_rollback_undoes_it() {
    let mut sim = Sim::started(PLAN);
    sim.order(stage(patch().set("backend", "b1").set("limit", 10)));
    sim.order(overrides(patch().set("backend", "b2").remove("limit")));
    let before = sim.rollout.variables();

    sim.order(Command::PromoteFully);
    let stored = serde_json::to_string(&sim.rollout).unwrap();
    let promoted: Rollout = serde_json::from_str(&stored).unwrap();
    let merged = VariablePatches::of_stage(patch().set("backend", "b2").set("limit", 10));
    assert_eq!(promoted.variables(), merged);

    let transition = sim.order(Command::RollBack);
    assert_eq!(sim.rollout.variables(), before);
    assert_eq!(transition.actions, [Action::RollBack, Action::SetVariables(before), Action::Save]);
}

#[test]
fn a_variable_set_after_the_promotion_survives_its_rollback() {
    let mut sim = Sim::started(PLAN);
    sim.order(overrides(patch().set("backend", "b2")));
    sim.order(Command::PromoteFully);
    let refusal = sim.try_order(overrides(patch().set("backend", "b3"))).unwrap_err();
    assert_eq!(
        refusal.reason.to_string(),
        "the canary is promoted and overrides nothing: set the variables of the stage"
    );
    sim.order(stage(patch().set("backend", "b3")));
    let after = VariablePatches::of_stage(patch().set("backend", "b3"));
    assert_eq!(sim.rollout.variables(), after);
    sim.order(Command::Halt);
    assert_eq!(sim.rollout.variables().stage, after.stage);
}

#[test]
fn the_stage_keeps_the_variables_of_a_promoted_canary_in_the_next_releases() {
    let mut sim = Sim::started(PLAN);
    sim.order(overrides(patch().set("backend", "b2")));
    sim.order(Command::PromoteFully);
    let next =
        canary_rollout::Releases { stable: "v2".parse().unwrap(), canary: "v3".parse().unwrap() };
    sim.rollout.set_releases(sim.now, next);
    assert_eq!(sim.rollout.phase(), Phase::Idle);
    assert_eq!(sim.rollout.variables(), VariablePatches::of_stage(patch().set("backend", "b2")));
}

#[test]
fn a_corrected_canary_keeps_the_overrides() {
    for command in [Command::RollBack, Command::PromoteFully] {
        let mut sim = Sim::started(PLAN);
        let backend = patch().set("backend", "b2");
        sim.order(overrides(backend.clone()));
        sim.order(command);
        sim.rollout.set_releases(sim.now, releases("v2.1"));
        assert_eq!(sim.rollout.variables(), VariablePatches::of_overrides(backend));
    }
}

#[test]
fn a_command_that_changes_no_variable_is_no_event() {
    let mut sim = Sim::new(PLAN);
    sim.order(stage(patch().set("limit", 20)));
    for same in [patch().set("limit", 20), patch()] {
        let transition = sim.order(stage(same));
        let note = "the variables already have these values";
        assert_eq!(transition.note.as_deref(), Some(note));
        assert!(transition.actions.is_empty() && transition.events.is_empty());
    }
}

#[test]
fn variables_that_cannot_be_stored_are_refused() {
    let mut sim = Sim::new(PLAN);
    let long = "n".repeat(65);
    for (variables, reason) in [
        (
            patch().set("", 1),
            "variable name \"\": expected 1 to 64 bytes without control characters".to_owned(),
        ),
        (
            patch().set("a\nb", 1),
            "variable name \"a b\": expected 1 to 64 bytes without control characters".to_owned(),
        ),
        (
            patch().set("a\u{202E}b", 1),
            "variable name \"a b\": expected 1 to 64 bytes without control characters".to_owned(),
        ),
        (
            patch().remove(&*long),
            format!(
                "variable name \"{}\u{2026}\": expected 1 to 64 bytes without control characters",
                "n".repeat(61)
            ),
        ),
        (
            patch().set("text", "x".repeat(2_048)),
            "the changed variables have 2069 bytes as JSON, expected at most 2048".to_owned(),
        ),
    ] {
        let before = sim.rollout.clone();
        let refusal = sim.try_order(stage(variables)).unwrap_err();
        assert_eq!(refusal.command, CommandName::SetVariables);
        assert_eq!(refusal.reason.to_string(), reason);
        assert_eq!(sim.rollout, before);
    }
}

#[test]
fn the_command_is_a_merge_patch_and_rejects_unknown_fields() {
    let json = json!({
        "command": "set_variables",
        "stage": { "limit": 20 },
        "overrides": { "backend": { "port": 1 }, "limit": null },
    });
    let command: Command = serde_json::from_value(json.clone()).unwrap();
    let mut patches = VariablePatches::of_stage(patch().set("limit", 20));
    patches.overrides = patch().set("backend", json!({ "port": 1 })).remove("limit");
    assert_eq!(command, Command::SetVariables(patches));
    assert_eq!(serde_json::to_value(&command).unwrap(), json);

    let typo = json!({ "command": "set_variables", "override": { "backend": "b2" } });
    let error = serde_json::from_value::<Command>(typo).unwrap_err().to_string();
    assert!(error.contains("unknown field `override`"), "{error}");
}

#[test]
fn a_stored_document_with_variables_stays_readable() {
    let mut sim = Sim::new(PLAN);
    sim.order(overrides(patch().set("backend", "b2")));
    let document = serde_json::to_value(&sim.rollout).unwrap();
    assert_eq!(document["variables"], json!({ "overrides": { "backend": "b2" } }));
    let kind = &sim.rollout.history().last().unwrap().kind;
    assert!(EventKind::NAMES.contains(&kind.as_str()));
}
