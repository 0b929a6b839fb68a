//! The alert rules are valid, use existing metrics, and fire when they should.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use canary_tests::skip::skip;

use crate::dashboard::{between, metrics};

#[test]
fn every_rule_uses_existing_metrics_and_labels() {
    let rules = include_str!("../../../examples/grafana/alerts.yml");
    let code = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let is_name = |char: char| char.is_ascii_lowercase() || char == '_';
    let mut used = BTreeSet::new();
    for (start, _) in code.match_indices("canary_") {
        let name: String = code[start..].chars().take_while(|it| is_name(*it)).collect();
        let metric = metrics().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("unknown metric {name}"));
        let rest = &code[start + name.len()..];
        if let Some(matcher) = rest.strip_prefix('{') {
            let label = matcher.split(['=', '~']).next().unwrap();
            assert!(metric.labels.contains(&label), "{name} has no label {label}");
        }
        used.insert(metric.name);
    }
    assert!(used.len() >= 5, "{used:?}");
    let help = metrics().find(|it| it.name == "canary_rollout_phase").unwrap();
    for phase in between(&code, "phase=~\"", "\"").iter().flat_map(|phases| phases.split('|')) {
        let known = ["starting", "running", "paused", "ramping_down", "baking"];
        assert!(known.contains(&phase), "{phase}: {}", help.help);
    }
}

#[test]
fn prometheus_accepts_the_rules_and_they_fire_when_they_should() {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/grafana"));
    for arguments in [
        ["check", "rules", "recording.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts-test.yml"],
    ] {
        let run = Command::new("promtool").args(arguments).current_dir(&directory).output();
        let Ok(output) = run else { return skip("alerts", "`promtool` is not on the PATH") };
        let report = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{report}");
    }
}
