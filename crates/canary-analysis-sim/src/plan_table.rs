//! What the judge of a plan does, as [`Plan::judge`](canary_rollout::Plan::judge) builds it by
//! default.

use std::time::Duration;

use canary_core::{PerChannel, Verdict, Weight};

use crate::{
    rules::{self, RollbackRule},
    schedule::Schedule,
    second::Second,
    study::Study,
    table::{MarkdownTable, calls, rolled_back, seconds},
    traffic::{ColdStart, ColdUntil, LogNormal, Traffic},
};

/// Measures how many canary calls the judge of a default plan takes to roll back a worse canary,
/// and how often it rolls back a good one.
///
/// The traffic is 50 calls a second for an hour, at 1, 5, 10, 25 and 50 %, with a look each second.
#[must_use]
pub fn speed_of_plan(runs: u32) -> MarkdownTable {
    let title = format!("A default plan, {runs} rollouts each, +- one Monte-Carlo error");
    let columns = ["failures", "canary calls until the rollback", "seconds", "rolled back"];
    let mut table = MarkdownTable::new(&title, &columns);
    let mut add = |name: &str, stable: f64, canary: f64| {
        let traffic = Traffic::new(50.0, stable).with_canary_failures(canary);
        let summary = Study::new(traffic, Schedule::hour(), runs).run(rules::default_plan);
        let is_good = stable >= canary;
        let speed = |show: fn(&_) -> String| if is_good { String::new() } else { show(&summary) };
        table.row(&[name.to_owned(), speed(calls), speed(seconds), rolled_back(&summary)]);
    };
    add("1 -> 5 %", 0.01, 0.05);
    add("1 -> 2 %", 0.01, 0.02);
    add("0.1 -> 1 %", 0.001, 0.01);
    add("0.5 -> 2 %", 0.005, 0.02);
    add("0.1 -> 100 %", 0.001, 1.0);
    for (name, rate) in [("0.1 % on both", 0.001), ("1 % on both", 0.01), ("5 % on both", 0.05)] {
        add(name, rate, rate);
    }
    table
}

/// Measures in how many rollouts of good canaries a healthy verdict is taken back within an hour at
/// 10 %, although nothing changes.
#[must_use]
pub fn verdicts_taken_back(runs: u32) -> MarkdownTable {
    let title = format!("Healthy verdicts taken back, {runs} rollouts each");
    let mut table = MarkdownTable::new(&title, &["failures on both channels", "taken back"]);
    for (name, rate) in [("0.1 %", 0.001), ("0.5 %", 0.005), ("1 %", 0.01)] {
        let schedule = Schedule::new([(Weight::from_percent(10), 3_600)]);
        let study = Study::new(Traffic::new(50.0, rate), schedule, runs);
        let summary = study.run(|| TakenBack::of(rules::judge_with_restarts()));
        table.row(&[name.to_owned(), rolled_back(&summary)]);
    }
    table
}

/// Measures the warm-up of the latency monitor: how often a canary is rolled back that is as good as
/// stable after a cold start.
#[must_use]
pub fn cold_starts(runs: u32) -> MarkdownTable {
    let title = format!("Cold starts, {runs} rollouts each");
    let columns = ["canary", "without a warm-up", "with that of the plan"];
    let mut table = MarkdownTable::new(&title, &columns);
    let log_normal = LogNormal { median: Duration::from_millis(20), sigma: 0.5 };
    let base = || {
        Traffic::new(50.0, 0.001)
            .with_latency(PerChannel { stable: log_normal, canary: log_normal })
    };
    let slow = |until| ColdStart { until, fails: 0.0, slower: 3.0 };
    let rows = [
        ("3 times slower for 120 s", base().with_cold_start(slow(ColdUntil::Seconds(120.0)))),
        ("3 times slower for 500 calls", base().with_cold_start(slow(ColdUntil::Calls(500)))),
        ("as good from the start", base()),
    ];
    for (name, traffic) in rows {
        let schedule = Schedule::new([(Weight::from_percent(10), 1_800)]);
        let study = Study::new(traffic, schedule, runs);
        let (without, with) = (
            study.run(|| rules::plan(&format!("warm_up = '0s'\n{LATENCY}"))),
            study.run(|| rules::plan(LATENCY)),
        );
        table.row(&[name.to_owned(), rolled_back(&without), rolled_back(&with)]);
    }
    table
}

/// A plan that watches latency.
const LATENCY: &str = "
preset = 'Canary10Percent5Minutes'
monitors = [
    { measure = 'failures' },
    { measure = { slower_than_stable = { quantile = 0.99 } } },
]";

/// Rolls back when a healthy verdict is taken back without harm, to count these rollouts.
struct TakenBack<R> {
    rule: R,
    is_healthy: bool,
}

impl<R> TakenBack<R> {
    const fn of(rule: R) -> Self {
        Self { rule, is_healthy: false }
    }
}

impl<R: RollbackRule> RollbackRule for TakenBack<R> {
    fn look(&mut self, second: &Second) -> Verdict {
        let verdict = self.rule.look(second);
        let was_healthy = std::mem::replace(&mut self.is_healthy, verdict == Verdict::Healthy);
        match verdict {
            Verdict::Inconclusive if was_healthy => Verdict::Degraded,
            _ => Verdict::Inconclusive,
        }
    }
}
