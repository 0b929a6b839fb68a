//! Monitors of a plan that judge only from a later step on.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::Duration;

use canary_rollout::Plan;

const STEPS: &str = "steps = [
    { weight = '10%', min_duration = '10m' },
    { weight = '50%', min_duration = '10m' },
    { weight = '80%', min_duration = '10m' },
]\n";

fn plan(monitors: &str) -> Plan {
    Plan::from_toml(&format!("monitors = [{monitors}]\n{STEPS}")).unwrap()
}

fn fault(toml: &str) -> String {
    Plan::from_toml(toml).expect_err(toml).to_string()
}

#[test]
fn a_monitor_has_its_step_in_every_format_and_again_when_it_is_stored() {
    let toml = plan("{ measure = 'failures', from_step = 2 }, { measure = 'share' }");
    let starting = |plan: &Plan| {
        let judge = plan.judge();
        judge.monitors().map(|monitor| monitor.starting_step()).collect::<Vec<_>>()
    };
    // Unanswered and cancelled calls are watched from the first step on.
    assert_eq!(starting(&toml), [2, 1, 1, 1]);
    let json = serde_json::to_string(&toml).unwrap();
    assert!(json.contains(r#""from_step":2"#), "{json}");
    assert_eq!(Plan::from_json(&json).unwrap(), toml);
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), toml);
    let yaml = "
monitors: [{ measure: failures, from_step: 2 }, { measure: share }]
steps:
  - { weight: 10%, min_duration: 10m }
  - { weight: 50%, min_duration: 10m }
  - { weight: 80%, min_duration: 10m }
";
    assert_eq!(Plan::from_yaml(yaml).unwrap(), toml);
    // By keys, the monitor of the calls without a key begins with the other.
    let by_keys = toml.judge_by(canary_analysis::Unit::Keys);
    let without_key = by_keys.monitors().find(|it| it.name() == "failures without a key").unwrap();
    assert_eq!(without_key.starting_step(), 2);
}

#[test]
fn a_step_that_the_plan_does_not_have_is_a_fault() {
    let with = |step: &str| {
        fault(&format!("monitors = [{{ measure = 'failures', from_step = {step} }}]\n{STEPS}"))
    };
    let at = "line 1, column 37, monitors[0].from_step: ";
    assert_eq!(with("0"), format!("{at}step 0, expected 1 to 3, the steps of the plan"));
    assert_eq!(with("4"), format!("{at}step 4, expected 1 to 3, the steps of the plan"));
    assert_eq!(with("'3'"), format!("{at}expected a whole number, found the text \"3\""));
    assert_eq!(with("-1"), format!("{at}expected a whole number, found -1"));
    assert_eq!(
        fault(
            "monitors = [{ measure = 'failures', from_step = 2 }]\npreset = 'Canary10Percent5Minutes'"
        ),
        "line 1, column 37, monitors[0].from_step: step 2, expected 1: the plan has one step",
    );
    assert_eq!(
        fault("by_hand = true\nmonitors = [{ measure = 'failures', from_step = 1 }]"),
        "line 2, column 37, monitors[0].from_step: a plan by hand has no steps, so `from_step` has no \
         effect",
    );
}

#[test]
fn a_step_that_requires_proof_needs_a_monitor_that_can_prove_it() {
    let late = "monitors = [{ measure = 'failures', from_step = 2 }]\n";
    let message = "step 1 requires proof that the canary is healthy, and no monitor that could prove it \
                   judges before step 2: let one judge from step 1 on, or set `without_proof_after`";
    let at = "line 1, column 37, monitors[0].from_step: ";
    let steps = "steps = [{ weight = '10%', advance_when = 'healthy' }, { weight = '50%' }]";
    assert_eq!(fault(&format!("{late}{steps}")), format!("{at}{message}"));
    // Neither proves anything: the share, a number of calls, and what the plan does not list.
    for other in
        ["measure = 'share'", "measure = 'failures', at_most = 5", "measure = 'unanswered'"]
    {
        let monitors = format!(
            "monitors = [{{ measure = 'failures', name = 'late', from_step = 2 }}, {{ {other} }}]\n"
        );
        assert!(fault(&format!("{monitors}{steps}")).contains(message), "{other}");
    }
    let is_plan = |text: &str| Plan::from_toml(text).map(drop).map_err(|error| error.to_string());
    for plan in [
        format!("{late}without_proof_after = '5m'\n{steps}"),
        format!("{late}on_inconclusive = 'advance'\n{steps}"),
        format!("{late}steps = [{{ weight = '10%' }}, {{ weight = '50%' }}]"),
        format!(
            "monitors = [{{ measure = 'failures', name = 'late', from_step = 2 }}, {{ measure = 'failures' }}]\n\
             {steps}"
        ),
    ] {
        assert_eq!(is_plan(&plan), Ok(()), "{plan}");
    }
    // A step before 100% requires proof although it does not say so.
    let full = "steps = [{ weight = '10%' }, { weight = '100%' }]";
    let limit = "monitors = [{ measure = 'failures', at_most = '1%', from_step = 2 }]\n";
    assert!(fault(&format!("{limit}{full}")).contains("step 1 requires proof"));
}

#[test]
fn a_monitor_that_would_never_have_anything_to_compare_is_a_fault() {
    let full = "steps = [{ weight = '10%' }, { weight = '100%' }]";
    let first = "{ measure = 'cancelled' }";
    let late = |limit: &str| {
        format!("monitors = [{first}, {{ measure = 'failures'{limit}, from_step = 2 }}]\n{full}")
    };
    assert_eq!(
        fault(&late("")),
        "line 1, column 64, monitors[1].from_step: stable has no calls from step 2 on to compare with: \
         expected a step below 100%, or a monitor with `at_most`",
    );
    assert!(Plan::from_toml(&late(", at_most = '1%'")).is_ok());
}

#[test]
fn the_forecast_of_the_proof_begins_with_the_step() {
    let dry_run = |from_step: u32| {
        let monitor = format!("{{ measure = 'failures', from_step = {from_step} }}");
        let dry_run = plan(&monitor).dry_run(20.0, Some(0.001)).unwrap();
        (dry_run.proven.unwrap(), dry_run.caught.unwrap().canary)
    };
    let [(first, caught_first), (last, caught_last)] = [1, 3].map(dry_run);
    let steps = Duration::from_secs(20 * 60);
    assert!(first < steps && last > steps, "{first:?} {last:?}");
    assert!(caught_last > caught_first, "{caught_first} {caught_last}");
}
