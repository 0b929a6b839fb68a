use canary_core::PerChannel;

use super::row::{Figure, Row};
use crate::traffic::{Law, Traffic, Trouble};

pub(super) fn rows() -> Vec<Row> {
    let bad = |stable, canary| Traffic::new(50.0, stable).with_canary_failures(canary);
    let calls = |name, traffic, most| Row::new(name, traffic, Figure::CallsUntilRollback, most);
    let pods = PerChannel { stable: 1, canary: 1 };
    let own = Trouble::recurring(Law::Exponential(600.0), Law::Fixed(5.0)).of_each_alone(pods);
    let own = bad(0.001, 1.0).with_trouble(own).with_baseline(14_400);
    vec![
        calls("0.1 -> 100 %", bad(0.001, 1.0), 3.0),
        calls("1 -> 5 %", bad(0.01, 0.05), 132.0),
        calls("1 -> 2 %", bad(0.01, 0.02), 1_434.0),
        calls("0.1 -> 1 %", bad(0.001, 0.01), 460.0),
        calls("0.5 -> 2 %", bad(0.005, 0.02), 423.0),
        Row::new(
            "0.1 -> 100 %, own outages of 5 s every 10 min",
            own,
            Figure::SecondsUntilRollback,
            71.0,
        )
        .at(10, 3_600),
    ]
}
