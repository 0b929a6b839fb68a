use canary_core::PerChannel;

use super::row::{Figure, Row};
use crate::traffic::{Ending, Law, Traffic, Trouble, Waiting};

pub(super) fn rows() -> Vec<Row> {
    let row =
        |name: &str, traffic, most| Row::new(name, traffic, Figure::SecondsUntilRollback, most);
    let mut rows = Vec::new();
    for (weight, most) in [(1, [11.0, 23.0, 103.0]), (10, [6.0, 8.0, 20.0]), (50, [6.0, 7.0, 15.0])]
    {
        for (percent, most) in [100.0, 30.0, 5.0].into_iter().zip(most) {
            let traffic = Traffic::new(50.0, 0.001).with_canary_hangs(percent / 100.0);
            let name = format!("{percent} % of the canary's calls hang, weight {weight} %");
            rows.push(row(&name, traffic, most).at(weight, 1_800));
        }
    }
    for (part, most) in [(1.0, 10.0), (0.51, 32.0)] {
        let traffic = long_calls(0.3, part);
        let name =
            format!("{} % of the canary's calls and 30 % of stable's take 5 min", 100.0 * part);
        rows.push(row(&name, traffic, most).at(10, 1_800));
    }
    for (part, weight) in [(0.3, 1), (0.3, 10), (0.3, 50), (0.01, 10)] {
        let percent = 100.0 * part;
        let name =
            format!("{percent} % of the calls of both take 5 min, weight {weight} %: rolled back");
        let traffic = long_calls(part, part);
        rows.push(Row::new(&name, traffic, Figure::RolledBack, 1.0).at(weight, 1_800));
    }
    let pods = PerChannel { stable: 1, canary: 1 };
    let own = Trouble::recurring(Law::Exponential(600.0), Law::Fixed(5.0)).hangs(1.0);
    let traffic = Traffic::new(50.0, 0.001)
        .with_canary_hangs(1.0)
        .with_trouble(own.of_each_alone(pods))
        .with_baseline(14_400);
    rows.push(row("100 % hang, own hangs of 5 s every 10 min", traffic, 100.0).at(10, 3_600));
    rows
}

/// Returns traffic in which these parts of the calls take five minutes on average.
fn long_calls(stable: f64, canary: f64) -> Traffic {
    Traffic::new(50.0, 0.001).with_waiting(Waiting {
        part: PerChannel { stable, canary },
        lasts: Some(Law::Exponential(300.0)),
        ending: Ending::Success,
    })
}
