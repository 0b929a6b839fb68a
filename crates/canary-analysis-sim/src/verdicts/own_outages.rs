use canary_core::PerChannel;

use super::row::{Figure, Row};
use crate::traffic::{Law, Traffic, Trouble};

/// Seconds for which the judge has seen stable before the rollout.
const BASELINE: u32 = 14_400;

pub(super) fn rows() -> Vec<Row> {
    let own = |between: f64, lasts, fails, stable| {
        let pods = PerChannel { stable, canary: 1 };
        Trouble::recurring(Law::Exponential(between), lasts).fails(fails).of_each_alone(pods)
    };
    let fixed = |every: f64, lasts, stable| own(every, Law::Fixed(lasts), 1.0, stable);
    let row = |name: &str, trouble| {
        let traffic = Traffic::new(50.0, 0.001).with_trouble(trouble).with_baseline(BASELINE);
        Row::new(name, traffic, Figure::RolledBack, 5.0)
    };
    vec![
        row("1 s every 2 min", fixed(120.0, 1.0, 1)),
        row("5 s every 10 min", fixed(600.0, 5.0, 1)),
        row("10 s every 30 min", fixed(1800.0, 10.0, 1)),
        row("30 s every hour", fixed(3600.0, 30.0, 1)),
        row("1 s every 10 min, 10 pods against 1", fixed(600.0, 1.0, 10)),
        row("5 s every hour, 10 pods against 1", fixed(3600.0, 5.0, 10)),
        row("exponential, 20 s every 10 min", own(600.0, Law::Exponential(20.0), 1.0, 1)),
        row("half of the calls for 3 s every 200 s", own(200.0, Law::Fixed(3.0), 0.5, 1)),
        row("1 to 8 s every 400 s", own(400.0, Law::Between(1.0, 8.0), 0.8, 1)),
        row("Pareto from 2 s, every 500 s", own(500.0, Law::Pareto(2.0, 2.0), 1.0, 1)),
        row("hangs of 1 s every 2 min", fixed(120.0, 1.0, 1).hangs(1.0)),
        row("hangs of 5 s every 10 min", fixed(600.0, 5.0, 1).hangs(1.0)),
        row("hangs of 20 s every 30 min", fixed(1800.0, 20.0, 1).hangs(1.0)),
        row("hangs of 5 s every 10 min, 10 pods against 1", fixed(600.0, 5.0, 10).hangs(1.0)),
    ]
}
