use canary_core::PerChannel;

use super::row::{Figure, Row};
use crate::traffic::{Ending, Law, Traffic, Waiting};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (percent, most) in [(100.0, 6.0), (30.0, 8.0), (5.0, 20.0)] {
        let traffic = Traffic::new(50.0, 0.001).with_canary_hangs(percent / 100.0);
        let name = format!("{percent} % of the canary's calls hang");
        rows.push(Row::new(&name, traffic, Figure::SecondsUntilRollback, most).at(10, 1_800));
    }
    let streams = Waiting {
        part: PerChannel { stable: 0.3, canary: 0.3 },
        lasts: Some(Law::Exponential(300.0)),
        ending: Ending::Success,
    };
    let traffic = Traffic::new(50.0, 0.001).with_waiting(streams);
    let name = "none hangs, 30 % of the calls of both take 5 min: rolled back";
    rows.push(Row::new(name, traffic, Figure::RolledBack, 1.0).at(10, 1_800));
    rows
}
