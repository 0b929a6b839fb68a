//! Tests of starts after a rollback.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use std::time::Duration;

use canary_core::Verdict;
use canary_rollout::{
    Actor, Command, Order, Phase, Rollout,
    command::RefusalReason,
    tick::{GateAnswer, ProbeOutcome},
};

use self::sim::Sim;

const PLAN: &str = "
    steps = [{ weight = '10%', probes = ['health'], gates = ['release'] }]
    [probes.health]
    kind = { function = 'health' }
    failure_threshold = 1
    [gates.release]
    kind = { function = 'release' }
    on_rejected = 'roll_back'
";

fn ci(sim: &Sim, command: Command) -> Result<Rollout, RefusalReason> {
    let mut rollout = sim.rollout.clone();
    let order = Order::new(command, Actor::program("ci"), "again");
    rollout.command(sim.now, &order).map_err(|refusal| refusal.reason)?;
    Ok(rollout)
}

fn degraded() -> Sim {
    let mut sim = Sim::started(PLAN);
    sim.verdict = Verdict::Degraded;
    sim.run(1);
    assert_eq!(sim.rollout.phase(), Phase::RolledBack);
    sim
}

#[test]
fn a_program_cannot_repeat_a_rollout_for_ten_minutes_and_a_person_can() {
    let mut sim = degraded();
    for command in [Command::Start, Command::Restart] {
        let reason = ci(&sim, command).unwrap_err();
        assert_eq!(reason, RefusalReason::CoolDown { left: Rollout::COOL_DOWN });
        assert_eq!(
            reason.to_string(),
            "the canary has just been rolled back: a person can start it at once, a program in 10m"
        );
    }
    sim.now = sim.now + (Rollout::COOL_DOWN - Duration::from_secs(1));
    assert!(ci(&sim, Command::Start).is_err());
    sim.now = sim.now + Duration::from_secs(1);
    assert_eq!(ci(&sim, Command::Start).unwrap().phase(), Phase::Running);

    let mut by_person = degraded();
    by_person.order(Command::Start);
    assert_eq!(by_person.rollout.phase(), Phase::Running);
}

#[test]
fn each_rollback_by_the_plan_has_a_cool_down_and_one_by_an_operator_has_none() {
    let mut probed = Sim::started(PLAN);
    probed.run(1);
    probed.probe("health", ProbeOutcome::Failed("503".to_owned()));
    let mut rejected = Sim::started(PLAN);
    rejected.verdict = Verdict::Healthy;
    rejected.calls = 1_000;
    rejected.run(1);
    rejected.probe("health", ProbeOutcome::Passed);
    rejected.run(1_000);
    rejected.answer("release", GateAnswer::Rejected("frozen".to_owned()));
    for sim in [probed, rejected] {
        assert_eq!(sim.rollout.phase(), Phase::RolledBack, "{}", sim.waits());
        assert!(ci(&sim, Command::Start).is_err(), "{}", sim.waits());
    }
    let mut by_operator = Sim::started(PLAN);
    by_operator.order(Command::RollBack);
    assert!(ci(&by_operator, Command::Start).is_ok());
    let mut halted = degraded();
    halted.order(Command::Halt);
    halted.order(Command::LiftHalt);
    assert!(ci(&halted, Command::Start).is_ok());
}

#[test]
fn a_clock_that_jumps_back_does_not_prolong_the_cool_down() {
    let mut sim = degraded();
    sim.now = "2020-01-01T00:00:00Z".parse().unwrap();
    assert!(ci(&sim, Command::Start).is_ok());
}

#[test]
fn the_preview_of_a_start_names_the_rollback_before_it() {
    let mut sim = degraded();
    sim.now = sim.now + Duration::from_secs(90);
    let preview = sim.rollout.preview(sim.now, &Command::Start).unwrap().to_string();
    assert!(
        preview.contains("v2 was rolled back 1m30s ago (canary fails every call)."),
        "{preview}"
    );
}
