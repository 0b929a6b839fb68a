use super::row::{Figure, Row};
use crate::traffic::{Activity, Drift, Law, Traffic, Trouble, Users};

/// A plan for sticky calls.
const PER_KEY: &str = "
preset = 'Canary10Percent5Minutes'
monitors = [{ measure = 'failures', count_by = 'keys' }]";

pub(super) fn rows() -> Vec<Row> {
    let row = |name: &str, traffic| Row::new(name, traffic, Figure::RolledBack, 1.0);
    let outages = Trouble::recurring(Law::Exponential(600.0), Law::Fixed(30.0)).fails(0.5);
    let drift = Drift { part: 0.8, period: 1200.0 };
    let disturbed = Traffic::new(50.0, 0.005).with_trouble(outages).with_drift(drift);
    let users = |activity| Users { count: 20_000, prone: 200, retries: 3, activity };
    let sticky = |activity| Traffic::new(50.0, 0.001).with_users(users(activity));
    vec![
        row("0.1 % on both", Traffic::new(50.0, 0.001)),
        row("1 % on both", Traffic::new(50.0, 0.01)),
        row("5 % on both", Traffic::new(50.0, 0.05)),
        row("0.5 %, outages of both, drift", disturbed.clone()),
        row("the same on 4 replicas", disturbed.with_replicas(4)),
        row("failed calls repeated 4 times", Traffic::new(50.0, 0.005).with_retries(4)),
        row("sticky users, equally active", sticky(Activity::Even)).judged_by(PER_KEY),
        row("sticky users, Zipf activity", sticky(Activity::Zipf(1.1))).judged_by(PER_KEY),
        row("a sticky user has half of the calls", sticky(Activity::OneHas(0.5)))
            .judged_by(PER_KEY),
    ]
}
