//! The Grafana dashboard shows every metric, with labels that the metric has. Some queries show what a
//! recording rule has summed; a real Prometheus evaluates them in the tests of the shop.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tower_canary::{
    AssignmentReason,
    metrics::{Metric, MetricKind},
};

#[test]
fn every_query_uses_existing_metrics_and_labels() {
    for target in targets() {
        for selector in selectors(&target.expr) {
            let metric = selector.metric();
            for (label, value) in &selector.matchers {
                assert!(metric.labels.contains(label), "{} has no {label}", metric.name);
                assert_values_exist(label, value);
            }
        }
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let exprs: Vec<_> = targets().into_iter().map(|target| target.expr).collect();
    let mut shown: BTreeSet<_> =
        exprs.iter().flat_map(|expr| selectors(expr)).map(|shown| shown.metric().name).collect();
    let rules = recording_rules();
    let mut recorded: Vec<_> = exprs.iter().flat_map(|expr| recorded_names(expr)).collect();
    let mut used = BTreeSet::new();
    while let Some(name) = recorded.pop() {
        let rule = rules.get(name).unwrap_or_else(|| panic!("no rule records {name}"));
        used.insert(name);
        recorded.extend(recorded_names(rule));
        shown.extend(metrics().map(|metric| metric.name).filter(|name| rule.contains(name)));
    }
    let all: BTreeSet<_> = metrics().map(|metric| metric.name).collect();
    assert_eq!(shown, all);
    assert!(rules.keys().all(|rule| used.contains(rule)), "only {used:?} are used");
}

#[test]
fn groups_and_legends_use_labels_of_the_queried_metrics() {
    for target in targets().iter().filter(|target| recorded_names(&target.expr).is_empty()) {
        let selectors = selectors(&target.expr);
        let groups = target.groups();
        for group in &groups {
            for selector in &selectors {
                let is_bucket = selector.name.ends_with("_bucket");
                let known = selector.metric().labels.contains(&group.as_str());
                assert!(known || (is_bucket && group == "le"), "{group} in {}", target.expr);
            }
        }
        for label in between(&target.legend, "{{", "}}") {
            assert!(groups.contains(label), "{label} in the legend of {}", target.expr);
        }
    }
}

#[test]
fn every_query_uses_the_selected_canary_and_data_source() {
    for target in targets() {
        assert_eq!(target.datasource, "${datasource}", "{}", target.expr);
        for selector in selectors(&target.expr) {
            assert!(selector.matchers.contains(&("canary", "$canary")), "{}", target.expr);
        }
    }
    let variables = dashboard()["templating"]["list"].as_array().unwrap().clone();
    let names: Vec<_> = variables.iter().map(|variable| &variable["name"]).collect();
    assert_eq!(names, ["datasource", "canary"]);
    let query = variables[1]["query"]["query"].as_str().unwrap();
    let [arguments] = between(query, "label_values(", ")")[..] else { panic!("{query}") };
    let (metric, label) = arguments.split_once(", ").unwrap();
    assert!(metrics().any(|known| known.name == metric && known.labels.contains(&label)));
}

#[test]
fn only_counters_and_histograms_are_queried_by_rate() {
    for target in targets() {
        for selector in selectors(&target.expr) {
            let grows =
                matches!(selector.metric().kind, MetricKind::Counter | MetricKind::Histogram);
            assert_eq!(selector.is_range, grows, "{} in {}", selector.name, target.expr);
        }
    }
}

#[test]
fn panels_do_not_overlap() {
    let panels = panels();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());

    let mut taken = BTreeSet::new();
    for panel in &panels {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{} overlaps another panel", panel["title"]);
        }
    }
}

/// The metrics of a canary, of a mirror and of a rollout.
pub(crate) fn metrics() -> impl Iterator<Item = &'static Metric> {
    let split = tower_canary::metrics::TABLE.iter().chain(tower_canary_mirror::metrics::TABLE);
    split.chain(canary_controller::metrics::TABLE)
}

/// One query of a panel.
struct Target {
    expr: String,
    legend: String,
    datasource: String,
}

impl Target {
    fn groups(&self) -> BTreeSet<String> {
        let groups = between(&self.expr, "by (", ")");
        groups.iter().flat_map(|labels| labels.split(", ")).map(str::to_owned).collect()
    }
}

/// `name{label="value", ..}`, possibly followed by a range.
struct Selector<'a> {
    name: &'a str,
    matchers: Vec<(&'a str, &'a str)>,
    is_range: bool,
}

impl Selector<'_> {
    /// Returns the selected metric. Prometheus stores the buckets of a histogram under a different
    /// name.
    fn metric(&self) -> &'static Metric {
        let named = |name: &str| metrics().find(|metric| metric.name == name);
        let metric = match self.name.strip_suffix("_bucket").and_then(named) {
            Some(histogram) if histogram.kind == MetricKind::Histogram => Some(histogram),
            _ => named(self.name).filter(|metric| metric.kind != MetricKind::Histogram),
        };
        metric.unwrap_or_else(|| panic!("unknown metric {}", self.name))
    }
}

/// Returns all selectors in a query whose names start with `canary_`.
fn selectors(expr: &str) -> Vec<Selector<'_>> {
    let starts = expr.match_indices("canary_").map(|(start, _)| start);
    starts
        .map(|start| {
            let (name, rest) = expr[start..].split_once('{').expect("braces after the name");
            let (inside, after) = rest.split_once('}').expect("a closing brace");
            let matchers = inside.split(", ").map(|matcher| {
                let (label, value) = matcher.split_once('=').expect("label=value");
                (label, value.trim_start_matches('~').trim_matches('"'))
            });
            Selector { name, matchers: matchers.collect(), is_range: after.starts_with('[') }
        })
        .collect()
}

/// Returns the expressions of the recording rules, by the recorded name.
fn recording_rules() -> BTreeMap<&'static str, &'static str> {
    let rules = include_str!("../../../examples/grafana/recording.yml").split("- record: ").skip(1);
    rules.map(|rule| rule.split_once("expr: ").expect("an expression")).map(trim).collect()
}

fn trim<'a>((name, expr): (&'a str, &'a str)) -> (&'a str, &'a str) {
    (name.trim(), expr.trim())
}

/// Returns the names in an expression that a rule has recorded.
fn recorded_names(expr: &str) -> Vec<&str> {
    let starts = expr.match_indices("canary:").map(|(start, _)| &expr[start..]);
    let is_in_name = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == ':';
    starts.map(|name| name.split(|it| !is_in_name(it)).next().unwrap_or_default()).collect()
}

#[track_caller]
fn assert_values_exist(label: &str, values: &str) {
    let known: &[&str] = match label {
        "canary" => &["$canary"],
        "channel" => &["stable", "canary"],
        "outcome" => &["success", "failure", "cancelled"],
        "rating" => &["good", "bad"],
        "reason" => &AssignmentReason::ALL.map(AssignmentReason::as_str),
        _ => panic!("unknown label {label}"),
    };
    for value in values.split('|') {
        assert!(known.contains(&value), "{label} has no value {value}");
    }
}

pub(crate) fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open)
        .skip(1)
        .map(|rest| rest.split_once(close).expect("a closing delimiter").0)
        .collect()
}

fn targets() -> Vec<Target> {
    let text =
        |value: &Value| value.as_str().unwrap_or_else(|| panic!("expected a string")).to_owned();
    let targets = panels().into_iter().flat_map(|panel| panel["targets"].as_array().cloned());
    targets
        .flatten()
        .map(|target| Target {
            expr: text(&target["expr"]),
            legend: text(&target["legendFormat"]),
            datasource: text(&target["datasource"]["uid"]),
        })
        .collect()
}

fn panels() -> Vec<Value> {
    dashboard()["panels"].as_array().expect("panels").clone()
}

fn dashboard() -> Value {
    serde_json::from_str(include_str!("../../../examples/grafana/canary.json")).expect("JSON")
}
