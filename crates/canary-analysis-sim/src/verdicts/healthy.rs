use super::row::{Figure, Row};
use crate::traffic::{Drift, Law, Starts, Traffic, Trouble};

/// The default monitors without slow calls.
pub(super) const WITHOUT_LATENCY: &str = "
preset = 'Canary10Percent5Minutes'
monitors = [{ measure = 'failures' }, { measure = 'share' }]";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    // The targets without latency are 1.09 times the times without a filter of outages. With it, two
    // minutes of warm-up come before the proof.
    let without = "without latency, ";
    for (percent, plan, most) in [
        (0.1, "", 315.0),
        (1.0, "", 284.0),
        (3.0, "", 180.0),
        (5.0, "", 180.0),
        (3.0, without, 109.0),
        (5.0, without, 64.0),
    ] {
        let traffic = Traffic::new(50.0, percent / 100.0).with_baseline(700);
        let name = format!("{percent} % on both, {plan}seconds until healthy");
        let row = Row::new(&name, traffic, Figure::SecondsUntilHealthy, most).at(10, 3_600);
        rows.push(if plan.is_empty() { row } else { row.judged_by(WITHOUT_LATENCY) });
    }
    // A rate that varies takes at most half longer.
    let drift = Drift { part: 0.5, period: 1200.0 };
    let bursts = Trouble::new(Starts::Every(20.0), Law::Fixed(1.0)).fails(0.1);
    for (name, traffic, most) in [
        ("1 %, drifting by half", Traffic::new(50.0, 0.01).with_drift(drift), 426.0),
        ("5 %, drifting by half", Traffic::new(50.0, 0.05).with_drift(drift), 96.0),
        ("0.5 % and bursts", Traffic::new(50.0, 0.005).with_trouble(bursts), 426.0),
    ] {
        let name = format!("{name} on both, {without}seconds until healthy");
        let traffic = traffic.with_baseline(700);
        let row = Row::new(&name, traffic, Figure::SecondsUntilHealthy, most).at(10, 3_600);
        rows.push(row.judged_by(WITHOUT_LATENCY));
    }
    for percent in [0.1, 0.5, 1.0] {
        let name = format!("{percent} % on both, healthy taken back within an hour");
        let traffic = Traffic::new(50.0, percent / 100.0);
        rows.push(Row::new(&name, traffic, Figure::TakenBack, 1.0).at(10, 3_600));
    }
    for (stable, canary) in [(0.5, 1.0), (1.0, 2.0), (3.0, 6.0)] {
        let name = format!("{stable} -> {canary} %, at the margin: ever healthy");
        let traffic = Traffic::new(50.0, stable / 100.0).with_canary_failures(canary / 100.0);
        rows.push(Row::new(&name, traffic, Figure::EverHealthy, 5.0).at(10, 3_600));
    }
    rows
}
