//! The table of metrics in the README is the one in the code.
#![cfg(feature = "metrics")]

use std::fs;

use tower_canary::metrics::{Metric, TABLE};

#[test]
fn the_readme_has_the_table_of_metrics() {
    let readme = fs::read_to_string(README).unwrap();
    let expected = table();
    assert!(readme.contains(&expected), "the README should have this table:\n{expected}");
}

#[test]
fn the_readme_names_no_metric_that_there_is_not() {
    let readme = fs::read_to_string(README).unwrap();
    for row in readme.lines().filter(|line| line.starts_with("| `canary_")) {
        assert!(table().lines().any(|known| known == row), "{row}");
    }
}

fn table() -> String {
    let head = "| metric | kind | unit | labels | what it says |\n|---|---|---|---|---|\n";
    head.to_owned() + &TABLE.iter().map(row).collect::<String>()
}

fn row(metric: &Metric) -> String {
    let Metric { name, kind, unit, labels, help, .. } = metric;
    let kind = format!("{kind:?}").to_lowercase();
    let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{name}` | {kind} | {unit} | {} | {help} |\n", labels.join(", "))
}

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
