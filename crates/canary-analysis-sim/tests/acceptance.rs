//! The guarantees of the judge, measured: false rollbacks, false proofs, and the time to detect
//! harm.
//!
//! `cargo test --release -p canary-analysis-sim --test acceptance -- --nocapture` runs ten times as
//! many rollouts as a debug build does, and prints the results.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::time::Duration;

use canary_analysis::{Levels, Monitor, SecondProof};
use canary_analysis_sim::{
    Activity, Drift, Law, LogNormal, RollbackRule, Schedule, Study, Summary, Traffic, Trouble,
    Users, rules,
};
use canary_core::{PerChannel, Weight};
use canary_rollout::Plan;

const RUNS: u32 = if cfg!(debug_assertions) { 100 } else { 1_000 };

fn study(traffic: Traffic, seed: u64) -> Study {
    Study::new(traffic, Schedule::hour(), RUNS).with_seed(seed)
}

const DRIFT: Drift = Drift { part: 0.8, period: 1200.0 };

/// Outages of both channels, at random times with this mean distance.
const fn outages(every: f64, last: f64, fail: f64) -> Trouble {
    Trouble::recurring(Law::Exponential(every), Law::Fixed(last)).fails(fail)
}

fn per_key() -> rules::Judged {
    rules::Judged::try_new(Levels::default(), [Monitor::failures().per_key()]).unwrap()
}

/// Asserts that at most the fraction `promised` of the rollouts is counted, within three standard
/// deviations.
fn assert_at_most(what: &str, number: u32, promised: f64) {
    let runs = f64::from(RUNS);
    let most = runs * promised + 3.0 * (runs * promised * (1.0 - promised)).sqrt();
    println!("{what}: {number} of {RUNS}, at most {most:.1}");
    assert!(f64::from(number) <= most, "{what}: {number} of {RUNS}, expected {most:.1} at most");
}

fn assert_rarely_rolled_back<R: RollbackRule>(
    what: &str,
    traffic: Traffic,
    seed: u64,
    rule: impl Fn() -> R + Sync,
) {
    let Summary { rolled_back, .. } = study(traffic, seed).run(rule);
    assert_at_most(what, rolled_back, Levels::default().alpha());
}

/// Guarantee G1.
#[test]
fn good_canaries_are_rarely_rolled_back() {
    let mut seed = 500;
    for failures in [0.0005, 0.005, 0.01, 0.05] {
        for calls in [1.0, 50.0, 5000.0] {
            seed += 1;
            let what = format!("A/A, {} % errors, {calls} calls/s", 100.0 * failures);
            assert_rarely_rolled_back(&what, Traffic::new(calls, failures), seed, rules::judge);
        }
    }
    let traffic = Traffic::new(50.0, 0.01);
    let rule = rules::judge_with_restarts;
    assert_rarely_rolled_back("A/A, 1 % errors, restarts", traffic, 520, rule);
}

/// Guarantee G2.
#[test]
fn outages_of_both_channels_do_not_cause_rollbacks() {
    for (seed, outages) in [
        (530, outages(600.0, 30.0, 0.5)),
        (531, outages(1200.0, 60.0, 0.3)),
        (532, outages(300.0, 120.0, 1.0)),
    ] {
        let traffic = Traffic::new(50.0, 0.005).with_trouble(outages).with_drift(DRIFT);
        let what = format!("A/A, {outages:?}");
        assert_rarely_rolled_back(&what, traffic.clone(), seed, rules::judge);
        let what = format!("{what}, 4 replicas");
        assert_rarely_rolled_back(&what, traffic.with_replicas(4), seed + 5, rules::judge);
    }
}

/// Guarantee G2. The laws are others than those for which the rules were tuned.
#[test]
fn outages_of_each_channel_alone_do_not_cause_rollbacks() {
    const RUNS: u32 = if cfg!(debug_assertions) { 40 } else { 400 };
    let one = PerChannel { stable: 1, canary: 1 };
    let laws = [
        (Law::Exponential(200.0), Law::Fixed(3.0), 0.5, one),
        (Law::Exponential(500.0), Law::Pareto(2.0, 2.0), 1.0, one),
        (Law::Exponential(900.0), Law::Between(1.0, 8.0), 1.0, PerChannel { stable: 5, canary: 2 }),
    ];
    for (seed, (between, lasts, fails, pods)) in (0..).zip(laws) {
        let trouble = Trouble::recurring(between, lasts).fails(fails).of_each_alone(pods);
        let traffic = Traffic::new(50.0, 0.002).with_trouble(trouble).with_baseline(7_200);
        let study = Study::new(traffic, Schedule::hour(), RUNS).with_seed(600 + seed);
        let Summary { rolled_back, .. } = study.run(rules::judge);
        let most = f64::from(RUNS) * 0.05 + 3.0 * (f64::from(RUNS) * 0.05 * 0.95).sqrt();
        println!("A/A, {trouble:?}: {rolled_back} of {RUNS}, at most {most:.1}");
        assert!(f64::from(rolled_back) <= most, "{trouble:?}: {rolled_back} of {RUNS}");
    }
}

#[test]
fn counting_per_key_prevents_false_rollbacks_with_sticky_users() {
    for (seed, calls, users) in [
        (540, 20.0, Users { count: 20_000, prone: 40, retries: 5, activity: Activity::Even }),
        (541, 20.0, Users { count: 5_000, prone: 500, retries: 20, activity: Activity::Even }),
    ] {
        let traffic = Traffic::new(calls, 0.0005).with_users(users);
        assert_rarely_rolled_back(&format!("A/A, {users:?}"), traffic, seed, per_key);
    }
    let users = Users { count: 20_000, prone: 40, retries: 5, activity: Activity::Even };
    let traffic = Traffic::new(20.0, 0.0005).with_users(users);
    // Retries are bursts of one channel, and a second proof would prevent most rollbacks too.
    let per_call = || rules::judge().with_second_proof(SecondProof::NEVER);
    let Summary { rolled_back, .. } = study(traffic, 540).run(per_call);
    println!("the same counted per call, which is wrong: {rolled_back} of {RUNS}");
    assert!(rolled_back > RUNS / 20, "the counterexample has too few rollbacks");
}

/// Guarantee G3.
#[test]
fn canaries_beyond_the_margin_are_rarely_called_healthy() {
    let beta = Levels::default().beta();
    for (seed, what, traffic) in [
        (550, "0.5 % -> 1 %", Traffic::new(50.0, 0.005).with_canary_failures(0.01)),
        (551, "1 % -> 2 %", Traffic::new(50.0, 0.01).with_canary_failures(0.02)),
        (552, "0.5 %, hangs in 1 %", Traffic::new(50.0, 0.005).with_canary_hangs(0.01)),
        (553, "0 %, hangs in 0.5 %", Traffic::new(50.0, 0.0).with_canary_hangs(0.005)),
        (554, "1 %, hangs in 10 %", Traffic::new(50.0, 0.01).with_canary_hangs(0.1)),
        (555, "1 %, hangs in 99.9 %", Traffic::new(50.0, 0.01).with_canary_hangs(0.999)),
    ] {
        let Summary { proven, .. } = study(traffic, seed).run(rules::judge);
        assert_at_most(&format!("called healthy, {what}"), proven, beta);
    }
}

/// Guarantee G3.
#[test]
fn canaries_beyond_the_margin_are_rarely_called_healthy_after_outages() {
    let beta = Levels::default().beta();
    let mut seed = 590;
    for outages in [outages(300.0, 10.0, 1.0), outages(600.0, 60.0, 1.0), outages(600.0, 30.0, 0.3)]
    {
        for (what, traffic) in [
            ("0.5 % -> 1 %", Traffic::new(50.0, 0.005).with_canary_failures(0.01)),
            ("1 % -> 2 %", Traffic::new(50.0, 0.01).with_canary_failures(0.02)),
            ("0 % -> 0.5 %", Traffic::new(50.0, 0.0).with_canary_failures(0.005)),
        ] {
            seed += 1;
            let Summary { proven, .. } =
                study(traffic.with_trouble(outages), seed).run(rules::judge);
            assert_at_most(&format!("called healthy, {what}, {outages:?}"), proven, beta);
        }
        // With few calls per look, each outage includes some events before it is detected. The
        // result is close to the limit, so this needs more rollouts.
        let traffic = Traffic::new(5.0, 0.01).with_canary_failures(0.02).with_trouble(outages);
        let part =
            (0..6).map(|at| study(traffic.clone(), seed + 100 + at).run(rules::judge).proven);
        let proven = f64::from(part.sum::<u32>());
        let runs = f64::from(6 * RUNS);
        println!("called healthy, 5 calls/s, {outages:?}: {proven} of {runs}");
        assert!(proven <= runs * beta + 3.0 * (runs * beta * (1.0 - beta)).sqrt(), "{proven}");
    }
}

#[test]
fn outages_and_drift_hardly_delay_the_proof_of_good_canaries() {
    let outages = outages(600.0, 30.0, 0.5);
    // The peak has three times the rate of the calmest time. The peak of a stronger drift counts as
    // an outage, and its evidence does not count.
    let drift = Drift { part: 0.5, ..DRIFT };
    for (seed, failures) in [(562, 0.01), (563, 0.05)] {
        let steady = Traffic::new(50.0, failures);
        let median = |traffic: Traffic| {
            let summary = study(traffic, seed).run(rules::judge);
            assert!(summary.proven + summary.rolled_back >= RUNS, "{}", summary.proven);
            summary.calls_until_proof().unwrap()
        };
        let usual = median(steady.clone());
        let disturbed = median(steady.with_trouble(outages).with_drift(drift));
        println!("A/A, {failures}: proven after {usual:?} calls, with outages {disturbed:?}");
        assert!(
            disturbed.median <= 1.5 * usual.median + 3.0 * disturbed.error,
            "{usual:?} {disturbed:?}"
        );
    }
}

#[test]
fn good_canaries_are_proven_good() {
    for (seed, failures, most) in [(560, 0.01, 1_240.0), (561, 0.0, 837.0)] {
        let summary = study(Traffic::new(50.0, failures), seed).run(rules::judge);
        let median = summary.calls_until_proof().unwrap();
        println!("A/A, {failures}: {} proven, after {median:?} calls", summary.proven);
        // A false rollback may come before the proof.
        assert!(summary.proven + summary.rolled_back >= RUNS);
        assert_at_most("rolled back", summary.rolled_back, Levels::default().alpha());
        // The resolution is one second, which has 2.5 canary calls in the second step.
        let error = median.error.max(2.5);
        assert!(median.median <= most + 3.0 * of_both(error), "{failures}: {median:?}");
    }
}

/// With 40 rollouts, a forecast that is met in 95 % of them is met in fewer than 30 with a probability
/// below one in 100,000.
#[test]
fn the_forecast_of_a_default_plan_is_met() {
    const RUNS: u32 = 40;
    let text = "steps = [{ weight = '10%', min_duration = '1m' }]";
    let plan = Plan::from_toml(text).unwrap();
    let latency = LogNormal { median: Duration::from_millis(20), sigma: 0.5 };
    for (seed, failures) in [(640, 0.001), (641, 0.01), (642, 0.05)] {
        let forecast = plan.dry_run(50.0, Some(failures)).unwrap().proven.unwrap();
        let traffic = Traffic::new(50.0, failures)
            .with_latency(PerChannel { stable: latency, canary: latency })
            .with_baseline(700);
        let seconds = u32::try_from(forecast.as_secs()).unwrap() + 1;
        let schedule = Schedule::new([(Weight::from_percent(10), seconds)]);
        let study = Study::new(traffic, schedule, RUNS).with_seed(seed);
        let Summary { proven, .. } = study.run(|| rules::plan(text));
        println!("A/A, {failures}: {proven} of {RUNS} proven within {forecast:?}");
        assert!(proven >= 30, "{failures}: {proven} of {RUNS} proven within {forecast:?}");
    }
}

/// Returns the error of the difference to a median of 300 rollouts.
fn of_both(error: f64) -> f64 {
    error * (1.0 + f64::from(RUNS) / 300.0).sqrt()
}

/// The expected medians of canary calls until the rollback are those of the reference
/// implementation.
#[test]
fn harm_is_detected_as_early_as_by_the_reference() {
    for (seed, stable, canary, reference) in [
        (570, 0.001, 1.0, 2.0),
        (571, 0.01, 0.05, 138.0),
        (572, 0.001, 0.01, 451.0),
        (573, 0.01, 0.02, 1_450.0),
    ] {
        let traffic = Traffic::new(50.0, stable).with_canary_failures(canary);
        let summary = study(traffic, seed).run(rules::judge);
        let median = summary.calls_until_rollback().unwrap();
        println!("{stable} -> {canary}: {} of {RUNS}, {median:?}", summary.rolled_back);
        assert_eq!(summary.rolled_back, RUNS, "{stable} -> {canary}");
        let most = reference + 3.0 * of_both(median.error);
        assert!(median.median <= most, "{stable} -> {canary}: {median:?}, expected {most} at most");
    }
}

/// Guarantee G4, as a maximum over all rollouts. Two canary calls in one second, before the judge
/// looks, come once in 20,000 seconds here. The guard covers them, see its tests.
#[test]
fn a_canary_that_fails_every_call_is_caught_within_three() {
    let traffic = Traffic::new(1.0, 0.0).with_canary_failures(1.0);
    let summary = study(traffic, 580).run(rules::judge);
    let calls = summary.calls_until_rollback().unwrap();
    println!("0 -> 1: {} of {RUNS}, {calls:?} canary calls", summary.rolled_back);
    assert_eq!(summary.rolled_back, RUNS);
    assert!(calls.largest <= 3.0, "{calls:?}");
}
