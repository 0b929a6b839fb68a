use std::time::Duration;

use canary_core::PerChannel;

use super::row::{Figure, LATENCY, Row};
use crate::traffic::{LogNormal, Traffic};

/// Margins for a service that fails one call in 10,000.
const FOUR_NINES: &str = "
preset = 'Canary10Percent5Minutes'
monitors = [{
    measure = 'failures',
    margins = { worse = { ratio = 1, rate = 0.0002 }, good = { ratio = 2, rate = 0.0004 } },
}]";

const SUCCESS: &str = "
preset = 'Canary10Percent5Minutes'
monitors = [{ measure = 'failures', at_most = '0.1%' }]";

const P99: &str = "
preset = 'Canary10Percent5Minutes'
monitors = [{ measure = { slower_than = { limit = '500ms' } }, at_most = '1%' }]";

const NUMBER: &str = "
preset = 'Canary10Percent5Minutes'
monitors = [{ measure = 'cancelled' }, { measure = 'failures', at_most = 5 }]";

/// A test that knew the canary's rate would need about half of the time until a rollback, beyond the
/// warm-up of slow calls.
pub(super) fn rows() -> Vec<Row> {
    let four_nines = |what: &str, canary, figure, most| {
        let traffic = Traffic::new(50.0, 0.0001).with_canary_failures(canary / 100.0);
        let name = format!("0.01 -> {canary} %, margins for four nines{what}");
        Row::new(&name, traffic, figure, most).judged_by(FOUR_NINES)
    };
    let success = |what: &str, canary, figure, most| {
        let traffic = Traffic::new(50.0, 0.01).with_canary_failures(canary / 100.0);
        let name = format!("success at least 99.9 %, {canary} % fail{what}");
        Row::new(&name, traffic, figure, most).judged_by(SUCCESS)
    };
    let p99 = |what: &str, median, figure, most| {
        let canary = LogNormal { median: Duration::from_millis(median), sigma: 0.5 };
        let latency = PerChannel { stable: LATENCY, canary };
        let traffic = Traffic::new(50.0, 0.001).with_latency(latency);
        Row::new(&format!("p99 at most 500 ms, {what}"), traffic, figure, most).judged_by(P99)
    };
    let (ever_healthy, rolled_back) = (": ever healthy", ": rolled back");
    let until_rollback = Figure::SecondsUntilRollback;
    let errors = Traffic::new(50.0, 0.0).with_canary_failures(0.01);
    let rows = [
        four_nines(ever_healthy, 0.09, Figure::EverHealthy, 5.0),
        four_nines("", 0.09, until_rollback, 1_600.0),
        four_nines(rolled_back, 0.01, Figure::RolledBack, 1.0),
        four_nines(": seconds until healthy", 0.01, Figure::SecondsUntilHealthy, 4_000.0),
        success(rolled_back, 0.09, Figure::RolledBack, 1.0),
        success(ever_healthy, 0.11, Figure::EverHealthy, 5.0),
        success("", 0.5, until_rollback, 450.0),
        success("", 2.0, until_rollback, 50.0),
        p99("it is 480 ms: rolled back", 150, Figure::RolledBack, 1.0),
        p99("it is 540 ms: ever healthy", 169, Figure::EverHealthy, 5.0),
        p99("it is 800 ms", 250, until_rollback, 150.0),
        Row::new(
            "at most 5 errors, every hundredth call fails",
            errors,
            Figure::CallsUntilRollback,
            600.0,
        )
        .judged_by(NUMBER),
    ];
    rows.map(|row| row.at(10, 7_200)).into()
}
