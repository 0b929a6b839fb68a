//! Tests of every command in every state, against the tables in `docs/states.md`.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use std::{env, fmt::Write, fs, path::Path};

use canary_core::{PerChannel, Verdict};
use canary_rollout::{
    Actor, Command, Order, Phase,
    command::CommandName,
    variables::{VariablePatch, VariablePatches},
};

use self::sim::{Sim, percent};

const PLAN: &str = "
    on_degraded = { ramp_down = { over = '100s' } }
    steps = [
        { weight = '1%', min_duration = '1m' },
        { weight = '10%', min_duration = '1m', gates = ['boss'] },
    ]
    bake = { duration = '5m' }
    start = { gates = ['boss'] }
    [gates.boss]
    kind = { approval = 'boss' }
";

/// Returns every state, with one entry for each case in which commands differ.
fn states() -> Vec<(&'static str, Sim)> {
    let idle = || Sim::new(PLAN);
    let starting = || Sim::started(PLAN);
    let running = || {
        let mut sim = starting();
        sim.order(Command::Approve { gate: "boss".into() });
        sim.run(1);
        sim
    };
    let at_gate = || {
        let mut sim = running();
        sim.run(150);
        sim
    };
    let baking = || {
        let mut sim = at_gate();
        sim.order(Command::Approve { gate: "boss".into() });
        sim.run(1);
        sim
    };
    let then = |mut sim: Sim, command: Command| {
        sim.order(command);
        sim
    };
    let degraded = |mut sim: Sim| {
        sim.verdict = Verdict::Degraded;
        sim.run(1);
        sim
    };
    let frozen = || {
        let toml = "on_degraded = 'freeze'\nsteps = [{ weight = '10%' }]";
        degraded(Sim::started(toml))
    };
    let at_maximum = || {
        let toml = "max_weight = '10%'\nsteps = [{ weight = '10%' }]";
        let mut sim = Sim::started(toml);
        sim.run(1);
        sim
    };
    vec![
        ("idle", idle()),
        ("starting, with a waiting gate", starting()),
        ("running", running()),
        ("running, in the last step, with a waiting gate", at_gate()),
        ("paused", then(running(), Command::Pause)),
        ("paused, frozen", frozen()),
        ("paused, after the last step, with a maximum weight of 10%", at_maximum()),
        (
            "paused, by hand",
            then(Sim::new("by_hand = true"), Command::SetWeight { weight: percent("1%") }),
        ),
        ("paused, in the bake", then(baking(), Command::Pause)),
        ("ramping down", degraded(running())),
        ("baking", baking()),
        ("promoted", then(baking(), Command::PromoteFully)),
        ("rolled back", then(running(), Command::RollBack)),
        ("halted", then(running(), Command::Halt)),
    ]
}

fn command(name: CommandName) -> Command {
    match name {
        CommandName::Start => Command::Start,
        CommandName::Pause => Command::Pause,
        CommandName::Resume => Command::Resume,
        CommandName::SkipStep => Command::SkipStep,
        CommandName::SetWeight => Command::SetWeight { weight: percent("5%") },
        CommandName::Promote => Command::Promote,
        CommandName::PromoteFully => Command::PromoteFully,
        CommandName::RollBack => Command::RollBack,
        CommandName::Halt => Command::Halt,
        CommandName::LiftHalt => Command::LiftHalt,
        CommandName::Restart => Command::Restart,
        CommandName::Approve => Command::Approve { gate: "boss".into() },
        CommandName::Reject => Command::Reject { gate: "boss".into() },
        CommandName::SetVariables => Command::SetVariables(VariablePatches::of_stage(
            VariablePatch::new().set("page_size", 20),
        )),
        other => panic!("{other} is missing in this test"),
    }
}

/// Returns the effect of a command, and the reason if it changes nothing.
fn effect(sim: &Sim, name: CommandName) -> (String, Option<String>) {
    let mut rollout = sim.rollout.clone();
    let order = Order::new(command(name), Actor::person("anna"), "");
    match rollout.command(sim.now, &order) {
        Ok(transition) => match transition.note {
            Some(note) => ("nothing".into(), Some(note)),
            None => (format!("**{}** {}", rollout.phase(), rollout.weight()), None),
        },
        Err(refusal) => {
            assert_eq!(rollout, sim.rollout, "a refusal changes nothing");
            ("refused".into(), Some(refusal.reason.to_string()))
        }
    }
}

fn table() -> String {
    let states = states();
    let mut text = String::new();
    for (state, sim) in &states {
        let weight = sim.rollout.weight();
        writeln!(text, "## {state} ({weight})\n\n| command | effect | in words |\n|---|---|---|")
            .unwrap();
        for name in CommandName::ALL {
            let (effect, why) = effect(sim, name);
            let words = why.unwrap_or_else(|| {
                sim.rollout.preview(sim.now, &command(name)).unwrap().to_string()
            });
            writeln!(text, "| {name} | {effect} | {words} |").unwrap();
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

#[test]
fn every_state_and_command_is_in_the_table() {
    let phases: Vec<Phase> = states().iter().map(|(_, sim)| sim.rollout.phase()).collect();
    for phase in Phase::ALL {
        assert!(phases.contains(&phase), "{phase} is missing");
    }
}

/// `UPDATE_DOCS=1 cargo test -p canary-rollout --test states` updates the table.
#[test]
fn the_documented_table_matches_the_state_machine() {
    const MARK: &str = "<!-- The rest of this file is generated by a test. -->\n\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/states.md");
    let text = fs::read_to_string(&file).unwrap();
    let (before, documented) = text.split_once(MARK).unwrap();
    let table = table();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, format!("{before}{MARK}{table}")).unwrap();
        return;
    }
    for (line, (documented, found)) in documented.lines().zip(table.lines()).enumerate() {
        assert_eq!(documented, found, "line {line} of the table");
    }
    assert_eq!(documented.lines().count(), table.lines().count());
}

#[test]
fn a_rollback_is_possible_in_every_state() {
    for (state, mut sim) in states() {
        sim.order(Command::RollBack);
        assert_eq!(sim.weight.ppm(), 0, "{state}");
        sim.verdict = Verdict::Healthy;
        sim.run(1_000);
        assert_eq!(sim.weight.ppm(), 0, "{state}: the weight stays zero");
    }
}

#[test]
fn allowed_commands_are_those_with_an_effect() {
    for (state, sim) in states() {
        let has_effect = |name: &CommandName| effect(&sim, *name).1.is_none();
        let with_effect: Vec<_> = CommandName::ALL.into_iter().filter(has_effect).collect();
        assert_eq!(sim.rollout.allowed(), with_effect, "{state}");
    }
}

#[test]
fn every_command_is_idempotent() {
    for (state, sim) in states() {
        for name in CommandName::ALL {
            // Skipping twice skips two steps, and every restart counts.
            if matches!(name, CommandName::SkipStep | CommandName::Restart) {
                continue;
            }
            let order = Order::new(command(name), Actor::person("anna"), "");
            let mut once = sim.rollout.clone();
            if once.command(sim.now, &order).is_err() {
                continue;
            }
            let mut twice = once.clone();
            let _ = twice.command(sim.now, &order);
            assert_eq!(once.phase(), twice.phase(), "{state}: {name}");
            assert_eq!(once.weight(), twice.weight(), "{state}: {name}");
            assert_eq!(once.attempt(), twice.attempt(), "{state}: {name}");
        }
    }
}

#[test]
fn a_restarted_process_continues_in_every_state() {
    for (state, sim) in states() {
        let mut continued = sim.rollout.clone();
        let mut other = Sim { rollout: sim.rollout.clone(), ..Sim::new(PLAN) };
        other.now = sim.now;
        other.restart();
        assert_eq!(
            other.weight,
            sim.rollout.weight(),
            "{state}: the data plane has the rollout's weight"
        );
        assert!(other.rollout.set_releases(sim.now, sim::releases("v2")).actions.is_empty());
        assert_eq!(other.rollout, continued, "{state}");

        let transition = continued.set_releases(sim.now, sim::releases("v3"));
        let expected = if state == "halted" { Phase::Halted } else { Phase::Idle };
        assert_eq!(continued.phase(), expected, "{state}");
        assert_eq!(continued.weight().ppm(), 0, "{state}");
        assert_eq!(transition.events.len(), 1, "{state}");
    }
}

#[test]
fn open_calls_are_a_part_of_the_sentence() {
    let mut sim = Sim::started(PLAN);
    sim.order(Command::Approve { gate: "boss".into() });
    sim.run(1);
    let preview = sim.rollout.preview(sim.now, &Command::Halt).unwrap();
    for (canary, sentence) in [
        (0, ""),
        (1, " 1 open call of v2 is asked to end."),
        (1_200, " 1,200 open calls of v2 are asked to end."),
    ] {
        let text = preview.clone().with_open_calls(PerChannel { stable: 7, canary }).to_string();
        let rest = " Testers do not reach v2 either, and nothing starts until the halt is lifted.";
        assert_eq!(text, format!("The next call is served by v1.{sentence}{rest}"));
    }
    let pause = sim.rollout.preview(sim.now, &Command::Pause).unwrap();
    let pause = pause.with_open_calls(PerChannel { stable: 7, canary: 9 });
    assert_eq!(pause.open_calls, None, "a pause ends no call");
}

#[test]
fn a_preview_is_data_as_well() {
    let sim = Sim::started(PLAN);
    let preview = sim.rollout.preview(sim.now, &Command::Restart).unwrap();
    let json = serde_json::to_value(&preview).unwrap();
    assert_eq!(json["command"], "restart");
    assert_eq!((&json["from"], &json["to"]), (&"0%".into(), &"0%".into()));
    assert_eq!(json["phase"], "starting");
    assert_eq!(json["discards_evidence"], true);
    assert_eq!(json["events"][0]["kind"], "started");
}

#[test]
fn commands_for_any_waiting_gate_are_allowed() {
    let mut sim = Sim::started(
        "start = { gates = ['a', 'b'] }
        steps = [{ weight = '1%' }]
        gates = { a = { kind = { approval = 'a' } }, b = { kind = { approval = 'b' } } }",
    );
    sim.order(Command::Approve { gate: "a".into() });
    assert_eq!(sim.rollout.waiting_gates().collect::<Vec<_>>(), ["b"]);
    let allowed = sim.rollout.allowed();
    assert!(allowed.contains(&CommandName::Approve) && allowed.contains(&CommandName::Reject));
}
