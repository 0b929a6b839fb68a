//! Tests of rollouts whose newest state the store has lost.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Action, Command, Lineage, Phase, Rollout,
    state::StoreLoss,
    variables::{VariablePatch, VariablePatches},
};
use serde_json::json;

use self::sim::{Sim, percent};

const PLAN: &str = "
    steps = [{ weight = '1%', min_duration = '1m' }, { weight = '10%', min_duration = '1m' }]
    bake = { duration = '5m' }
";

fn lineage(number: u64) -> Lineage {
    Lineage::from_random(number)
}

/// A simulation whose rollout is stored in the first lineage.
fn stored_sim() -> Sim {
    let mut sim = Sim::new(PLAN);
    sim.rollout = sim.rollout.with_lineage(lineage(1));
    sim
}

fn running(seconds: u64) -> Sim {
    let mut sim = stored_sim();
    sim.order(Command::Start);
    sim.run(seconds);
    sim
}

/// Follows the store of `ours`, which now has `stored`.
fn recover(ours: &Sim, stored: Option<&Rollout>) -> Sim {
    let loss = ours.rollout.loss(stored).unwrap();
    let copy = || ours.rollout.clone().with_lineage(lineage(2));
    let mut rollout = stored.cloned().unwrap_or_else(copy);
    rollout.recover(ours.now, loss, &ours.rollout);
    let mut sim = Sim { rollout, ..Sim::new(PLAN) };
    sim.now = ours.now;
    sim.restart();
    sim
}

#[test]
fn a_removed_document_is_stored_again_and_paused_at_its_weight() {
    let ours = running(70);
    assert_eq!(ours.rollout.loss(None), Some(StoreLoss::Removed));
    let mut sim = recover(&ours, None);
    assert_eq!(sim.rollout.lineage(), Some(lineage(2)));
    assert_eq!(sim.waits(), "paused at 10%: waiting for an operator (the store lost the rollout)");
    let event = sim.rollout.history().last().unwrap().to_string();
    assert_eq!(
        event,
        "2026-11-24T09:01:10Z the store lost the rollout, weight 10%: the document was removed"
    );
    sim.run(1_000);
    assert_eq!(sim.weight, percent("10%"), "only an operator continues");
    sim.order(Command::Resume);
    sim.run_until_not(Phase::Running);
    assert_eq!(sim.rollout.phase(), Phase::Baking);
}

#[test]
fn a_new_document_of_another_process_does_not_start_by_itself() {
    let ours = running(70);
    let theirs = Sim::new(PLAN).rollout.with_lineage(lineage(2));
    assert_eq!(ours.rollout.loss(Some(&theirs)), Some(StoreLoss::Replaced));
    let mut sim = recover(&ours, Some(&theirs));
    assert_eq!(
        sim.waits(),
        "rolled back (the store lost the rollout, and another process created a new one)"
    );
    sim.order(Command::Start);
    assert_eq!(sim.rollout.attempt(), 2, "the attempt of the lost rollout is not used again");
    assert!(sim.rollout.latest().unwrap() > ours.rollout.latest().unwrap());
}

#[test]
fn a_restored_backup_does_not_raise_the_weight() {
    let mut ours = running(30);
    let backup = ours.rollout.clone();
    ours.run(60);
    assert_eq!(ours.weight, percent("10%"));
    let mut sim = recover(&ours, Some(&backup));
    assert_eq!(sim.weight, percent("1%"));
    assert_eq!(
        sim.waits(),
        "paused at 1%: waiting for an operator (the store went back to an older state)"
    );
    sim.run(1_000);
    assert_eq!(sim.weight, percent("1%"));
}

#[test]
fn a_rollback_and_a_halt_outlive_a_restored_backup() {
    for (command, expected) in
        [(Command::RollBack, Phase::RolledBack), (Command::Halt, Phase::Halted)]
    {
        let mut ours = running(70);
        let backup = ours.rollout.clone();
        ours.order(command.clone());
        let mut sim = recover(&ours, Some(&backup));
        assert_eq!((sim.rollout.phase(), sim.weight), (expected, Weight::ZERO), "{command:?}");
        assert_eq!(sim.rollout.state(), ours.rollout.state(), "the reason and its author stay");
        sim.run(1_000);
        assert!(sim.try_order(Command::Resume).is_err());
        assert_eq!(sim.weight, Weight::ZERO);
    }
}

#[test]
fn a_promoted_backup_of_a_canary_that_is_not_promoted_is_rolled_back() {
    let ours = running(10);
    let mut theirs = running(10);
    theirs.order(Command::PromoteFully);
    let theirs = theirs.rollout.with_lineage(lineage(2));
    let sim = recover(&ours, Some(&theirs));
    assert_eq!((sim.rollout.phase(), sim.weight), (Phase::RolledBack, Weight::ZERO));
}

#[test]
fn a_promoted_canary_stays_promoted() {
    let mut ours = running(10);
    ours.order(Command::PromoteFully);
    let sim = recover(&ours, None);
    assert_eq!((sim.rollout.phase(), sim.weight), (Phase::Promoted, Weight::FULL));
}

#[test]
fn a_frozen_canary_stays_frozen() {
    let plan = "on_degraded = 'freeze'\nsteps = [{ weight = '10%', min_duration = '1m' }]";
    let mut ours = Sim::new(plan);
    ours.rollout = ours.rollout.with_lineage(lineage(1));
    ours.order(Command::Start);
    ours.run(10);
    let backup = ours.rollout.clone();
    ours.verdict = Verdict::Degraded;
    ours.run(1);
    let mut sim = recover(&ours, Some(&backup));
    assert_eq!(
        sim.try_order(Command::Resume).unwrap_err().reason.to_string(),
        "the canary is degraded: restart with new evidence, or roll back"
    );
}

#[test]
fn a_halt_in_the_new_document_wins() {
    let ours = running(70);
    let mut theirs = Sim::new(PLAN);
    theirs.order(Command::Halt);
    let theirs = theirs.rollout.with_lineage(lineage(2));
    assert_eq!(recover(&ours, Some(&theirs)).rollout.phase(), Phase::Halted);
}

#[test]
fn the_second_replica_changes_nothing() {
    for (first, second) in [(running(70), running(70)), (running(70), running(10))] {
        let theirs = Sim::new(PLAN).rollout.with_lineage(lineage(2));
        let mut recovered = recover(&first, Some(&theirs)).rollout;
        let before = recovered.clone();
        let loss = second.rollout.loss(Some(&recovered)).unwrap();
        let transition = recovered.recover(second.now, loss, &second.rollout);
        assert_eq!(transition.actions, []);
        assert_eq!(recovered, before);
    }
}

#[test]
fn variables_of_the_lost_rollout_stay_in_force() {
    let set = |name: &str, value: u32| {
        Command::SetVariables(VariablePatches::of_overrides(VariablePatch::new().set(name, value)))
    };
    let mut ours = running(70);
    ours.order(set("limit", 1));
    let backup = ours.rollout.clone();
    ours.order(set("limit", 2));
    let limits = |sim: &Sim| serde_json::to_value(sim.rollout.variables()).unwrap();
    assert_eq!(limits(&recover(&ours, Some(&backup))), json!({ "overrides": { "limit": 2 } }));

    let mut theirs = Sim::new(PLAN);
    theirs.order(set("page", 3));
    let theirs = theirs.rollout.with_lineage(lineage(2));
    let merged = json!({ "overrides": { "limit": 2, "page": 3 } });
    assert_eq!(limits(&recover(&ours, Some(&theirs))), merged);
}

#[test]
fn a_rollout_of_another_build_is_left_alone() {
    let ours = running(70);
    let mut theirs = Sim::new(PLAN).rollout.with_lineage(lineage(2));
    theirs.set_releases(ours.now, sim::releases("v3"));
    let before = theirs.clone();
    assert_eq!(theirs.recover(ours.now, StoreLoss::Replaced, &ours.rollout).actions, []);
    assert_eq!(theirs, before);
}

#[test]
fn saved_progress_is_no_loss() {
    let mut ours = running(5);
    let known = ours.rollout.clone();
    ours.run(20);
    assert_eq!(known.loss(Some(&ours.rollout)), None);
    assert_eq!(known.latest(), ours.rollout.latest(), "progress is no event");
    ours.order(Command::Pause);
    assert!(known.latest() < ours.rollout.latest());
    assert_eq!(ours.rollout.latest(), ours.rollout.history().last().map(|it| it.id()));
}

#[test]
fn the_lineage_is_stored_and_must_be_valid() {
    let mut document = serde_json::to_value(&stored_sim().rollout).unwrap();
    assert_eq!(document["lineage"], "0000000000000001");
    for invalid in ["", "1", "000000000000000g", "000000000000000A", "+000000000000001"] {
        document["lineage"] = json!(invalid);
        let error = serde_json::from_value::<Rollout>(document.clone()).unwrap_err().to_string();
        assert!(error.contains(&format!("invalid lineage {invalid:?}")), "{error}");
    }
}

#[test]
fn a_recovery_lowers_before_saving() {
    let mut ours = running(70);
    let mut backup = ours.rollout.clone();
    ours.order(Command::RollBack);
    let transition = backup.recover(ours.now, StoreLoss::Older, &ours.rollout);
    assert_eq!(transition.actions, [Action::RollBack, Action::Save]);
}

#[test]
fn a_backup_at_a_higher_weight_is_held_at_the_lower_one() {
    let mut ours = running(70);
    let backup = ours.rollout.clone();
    assert_eq!(backup.weight(), percent("10%"));
    ours.order(Command::SetWeight { weight: percent("0.5%") });
    let mut sim = recover(&ours, Some(&backup));
    assert_eq!((sim.rollout.phase(), sim.weight), (Phase::Paused, percent("0.5%")));
    sim.run(1_000);
    assert_eq!(sim.weight, percent("0.5%"));
}
