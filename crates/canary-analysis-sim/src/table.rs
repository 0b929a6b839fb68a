use std::fmt::{self, Write};

use canary_analysis::{Levels, Monitor};

use crate::{
    rules::{self, RollbackRule},
    schedule::Schedule,
    study::Study,
    summary::{Median, Summary},
    traffic::{Activity, Drift, Law, Traffic, Trouble, Users},
};

/// A table in Markdown.
#[derive(Clone, Debug, Default)]
pub struct MarkdownTable(String);

impl MarkdownTable {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        let rules = "---|".repeat(columns.len());
        Self(format!("{title}\n\n| {} |\n|{rules}\n", columns.join(" | ")))
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "| {} |", cells.join(" | "));
    }
}

impl fmt::Display for MarkdownTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Compares how often the rules roll back a good canary, and how long they take to roll back a bad
/// one.
///
/// The traffic is 50 calls a second for an hour, at 1, 5, 10, 25 and 50 %, with a look each second.
#[must_use]
pub fn table(runs: u32) -> MarkdownTable {
    let mut table = MarkdownTable::new(
        &format!("Rules compared, {runs} rollouts each, +- one Monte-Carlo error"),
        &[
            "situation",
            "judge",
            "fixed 99 % x5 checks",
            "Mann-Whitney each minute",
            "Mann-Whitney, either way",
            "z-test each second",
        ],
    );
    let outages = Trouble::recurring(Law::Exponential(1200.0), Law::Fixed(60.0)).fails(0.3);
    let good = [
        ("A/A, 0.5 % errors: false rollbacks", Traffic::new(50.0, 0.005)),
        ("A/A, 1 % errors", Traffic::new(50.0, 0.01)),
        ("A/A, 0.05 % errors", Traffic::new(50.0, 0.0005)),
        (
            "A/A, 0.5 % errors, outages of both channels",
            Traffic::new(50.0, 0.005).with_trouble(outages),
        ),
    ];
    for (name, traffic) in good {
        table.row(&cells(name, &traffic, runs, rolled_back));
    }
    let bad = [
        ("0.1 % -> 100 %: canary calls until rollback, median", 0.001, 1.0),
        ("1 % -> 5 %", 0.01, 0.05),
        ("0.1 % -> 1 %", 0.001, 0.01),
        ("1 % -> 2 %", 0.01, 0.02),
    ];
    for (name, stable, canary) in bad {
        let traffic = Traffic::new(50.0, stable).with_canary_failures(canary);
        table.row(&cells(name, &traffic, runs, calls));
        table.row(&cells("... seconds", &traffic, runs, seconds));
        table.row(&cells("... users harmed", &traffic, runs, harmed));
    }
    table
}

/// Measures false rollbacks and proofs of the judge when canary and stable are equal.
#[must_use]
pub fn false_rollbacks(runs: u32) -> MarkdownTable {
    let mut table = MarkdownTable::new(
        &format!("The judge on canaries as good as stable, alpha = 1 %, {runs} rollouts each"),
        &["errors", "calls/s", "rolled back", "proven good", "canary calls until then"],
    );
    let mut seed = 100;
    let mut add =
        |table: &mut MarkdownTable, name: &str, traffic: Traffic, per_second: &str, keys: bool| {
            seed += 1;
            let study = Study::new(traffic, Schedule::hour(), runs).with_seed(seed);
            let summary = if keys { study.run(per_key) } else { study.run(rules::judge) };
            table.row(&[
                name.to_owned(),
                per_second.to_owned(),
                rolled_back(&summary),
                percent(&summary, summary.proven_rate()),
                median(summary.calls_until_proof()),
            ]);
        };
    for (name, rate) in [("0.05 %", 0.0005), ("0.5 %", 0.005), ("1 %", 0.01), ("5 %", 0.05)] {
        for (per_second, calls) in [("1", 1.0), ("50", 50.0), ("5000", 5000.0)] {
            add(&mut table, name, Traffic::new(calls, rate), per_second, false);
        }
    }
    let outages = Trouble::recurring(Law::Exponential(600.0), Law::Fixed(30.0)).fails(0.5);
    let drift = Drift { part: 0.8, period: 1200.0 };
    let disturbed = Traffic::new(50.0, 0.005).with_trouble(outages).with_drift(drift);
    add(&mut table, "0.5 %, outages of both, drift", disturbed.clone(), "50", false);
    add(&mut table, "the same on 4 replicas", disturbed.with_replicas(4), "50", false);
    add(&mut table, "0 %", Traffic::new(50.0, 0.0), "50", false);
    let users = Users { count: 20_000, prone: 40, retries: 5, activity: Activity::Even };
    let sticky = Traffic::new(50.0, 0.0005).with_users(users);
    add(&mut table, "0.05 %, sticky, 40 users of 20,000 fail", sticky.clone(), "50", true);
    add(&mut table, "the same, judged per call: wrong", sticky, "50", false);
    let margin = Traffic::new(50.0, 0.005).with_canary_failures(0.01);
    add(&mut table, "0.5 % -> 1 %: worse, and at the margin of good", margin, "50", false);
    table
}

/// Measures the effect of restarts at each step, for early and late faults.
#[must_use]
pub fn late_faults(runs: u32) -> MarkdownTable {
    let mut table = MarkdownTable::new(
        &format!("Users harmed until the rollback, median, {runs} rollouts each, 50 calls/s"),
        &["fault", "from second", "judge", "with restarts"],
    );
    let faults = [
        ("1 % -> 2 %", 0.01, 0.02),
        ("1 % -> 5 %", 0.01, 0.05),
        ("0.1 % -> 100 %", 0.001, 1.0),
        ("1 % -> 100 %", 0.01, 1.0),
    ];
    for (name, stable, canary) in faults {
        for at in [0, 1_440, 2_880, 2_940] {
            let traffic = Traffic::new(50.0, stable).with_canary_failures(canary).with_fault_at(at);
            let study = Study::new(traffic, Schedule::hour(), runs);
            table.row(&[
                name.to_owned(),
                at.to_string(),
                harmed(&study.run(rules::judge)),
                harmed(&study.run(rules::judge_with_restarts)),
            ]);
        }
    }
    let study = Study::new(Traffic::new(50.0, 0.01), Schedule::hour(), runs);
    table.row(&[
        "none: false rollbacks".to_owned(),
        String::new(),
        rolled_back(&study.run(rules::judge)),
        rolled_back(&study.run(rules::judge_with_restarts)),
    ]);
    table
}

/// Returns a judge for sticky traffic.
fn per_key() -> rules::Judged {
    let monitors = [Monitor::failures().per_key()];
    rules::Judged::try_new(Levels::default(), monitors).expect("one monitor decides")
}

fn cells(name: &str, traffic: &Traffic, runs: u32, show: fn(&Summary) -> String) -> Vec<String> {
    let study = Study::new(traffic.clone(), Schedule::hour(), runs);
    fn run<R: RollbackRule>(
        study: &Study,
        rule: fn() -> R,
        show: fn(&Summary) -> String,
    ) -> String {
        show(&study.run(rule))
    }
    vec![
        name.to_owned(),
        run(&study, rules::judge, show),
        run(&study, rules::fixed_threshold, show),
        run(&study, rules::mann_whitney, show),
        run(&study, rules::mann_whitney_either_way, show),
        run(&study, rules::repeated_z, show),
    ]
}

fn rolled_back(summary: &Summary) -> String {
    percent(summary, summary.rate())
}

fn calls(summary: &Summary) -> String {
    median(summary.calls_until_rollback())
}

fn seconds(summary: &Summary) -> String {
    median(summary.seconds_until_rollback())
}

fn harmed(summary: &Summary) -> String {
    median(summary.harmed())
}

fn percent(summary: &Summary, rate: f64) -> String {
    format!("{:.1} % +- {:.1}", 100.0 * rate, 100.0 * summary.error_of(rate))
}

fn median(median: Option<Median>) -> String {
    median.map_or_else(
        || "never".to_owned(),
        |Median { median, error, .. }| format!("{median:.0} +- {error:.0}"),
    )
}
