//! The README lists the metrics that the crates publish.

use std::fs;

use tower_canary::metrics::Metric;

#[test]
fn the_readme_has_a_table_of_the_metrics_of_each_crate() {
    let readme = readme();
    for table in tables() {
        let expected = render(table);
        assert!(readme.contains(&expected), "expected this table in the README:\n{expected}");
    }
}

#[test]
fn the_readme_lists_no_unknown_metric() {
    let known: Vec<_> = tables().concat().iter().map(row).collect();
    for row in readme().lines().filter(|line| line.starts_with("| `canary_")) {
        assert!(known.iter().any(|known| known.trim_end() == row), "{row}");
    }
}

fn tables() -> [&'static [Metric]; 3] {
    [
        tower_canary::metrics::TABLE,
        tower_canary_mirror::metrics::TABLE,
        canary_controller::metrics::TABLE,
    ]
}

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("the README")
}

fn render(table: &[Metric]) -> String {
    let head = "| metric | kind | unit | labels | description |\n|---|---|---|---|---|\n";
    head.to_owned() + &table.iter().map(row).collect::<String>()
}

fn row(metric: &Metric) -> String {
    let Metric { name, kind, unit, labels, help } = metric;
    let kind = format!("{kind:?}").to_lowercase();
    let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{name}` | {kind} | {unit} | {} | {help} |\n", labels.join(", "))
}
