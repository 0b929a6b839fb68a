use super::row::{Figure, Row};
use crate::traffic::{ColdStart, ColdUntil, Traffic};

pub(super) fn rows() -> Vec<Row> {
    let base = Traffic::new(50.0, 0.001);
    let slow = |until| ColdStart { until, fails: 0.0, slower: 3.0 };
    let row = |name, cold| {
        let traffic = base.clone().with_cold_start(cold);
        Row::new(name, traffic, Figure::RolledBack, 1.0).at(10, 1_800)
    };
    vec![
        row("3 times slower for 120 s", slow(ColdUntil::Seconds(120.0))),
        row("3 times slower for 500 calls", slow(ColdUntil::Calls(500))),
        Row::new("as good from the start", base.clone(), Figure::RolledBack, 1.0).at(10, 1_800),
    ]
}
