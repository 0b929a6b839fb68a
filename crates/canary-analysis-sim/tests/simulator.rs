//! The laws of the simulated traffic, simulations of slow calls and forecasts, and a check of the
//! pictures in the guide.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use canary_analysis::{Forecast, Levels, Monitor, SlowLimit, Until};
use canary_analysis_sim::{
    Activity, ColdStart, ColdUntil, Ending, Law, LogNormal, RollbackRule, Schedule, Second, Shape,
    Starts, Study, Summary, Traffic, Trouble, Users, Verdicts, Waiting, pictures, rules,
};
use canary_core::{Channel, PerChannel, Verdict, Weight};

fn study(traffic: Traffic) -> Study {
    Study::new(traffic, Schedule::hour(), 100)
}

/// Asserts an `alpha` of at most 1 %, within three standard deviations of 100 rollouts.
fn assert_rarely_rolled_back(summary: &Summary) {
    assert!(summary.rolled_back <= 3, "{} of {}", summary.rolled_back, summary.runs);
}

#[test]
fn a_slow_canary_is_caught_and_one_as_slow_as_stable_is_not() {
    let of = |millis| LogNormal { median: Duration::from_millis(millis), sigma: 0.5 };
    let limit = SlowLimit::stable_quantile(0.99).unwrap();
    let rule = || {
        let monitors = [Monitor::slow(Until::Head, limit)];
        rules::Judged::try_new(Levels::default(), monitors).unwrap()
    };
    let traffic = Traffic::new(20.0, 0.001);
    let study = |canary| {
        let latency = PerChannel { stable: of(40), canary: of(canary) };
        Study::new(traffic.clone().with_latency(latency), Schedule::hour(), 20).run(rule)
    };
    assert_rarely_rolled_back(&study(40));
    assert_eq!(study(80).rolled_back, 20);
}

/// Forecasts have a probability of 95 %.
#[test]
fn forecasts_come_true() {
    let schedule = Schedule::hour();
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let plan = schedule.steps().iter().map(|(weight, lasts)| (*weight, seconds(*lasts)));
    let plan: Vec<_> = plan.collect();
    let margins = Monitor::failures().margins();
    for (calls, base) in [(50.0, 0.01), (500.0, 0.002)] {
        let forecast =
            Forecast::try_new(calls, base, plan.clone(), margins, Levels::default(), 1).unwrap();
        let caught = [
            (base * 2.0, forecast.until_caught(2.0)),
            (base * 5.0, forecast.until_caught(5.0)),
            (1.0, forecast.until_total_failure_caught()),
        ];
        for (rate, until) in caught {
            let until = until.unwrap();
            let traffic = Traffic::new(calls, base).with_canary_failures(rate);
            let summary = study(traffic).run(rules::judge);
            // At least 95 of 100 rollouts are expected, with a standard deviation of 2.
            let in_time = summary.rolled_back_within(until + Duration::from_secs(1));
            assert!(in_time >= 89, "{base} -> {rate}: {in_time} within {until:?}");
        }
        let until = forecast.until_proven().unwrap() + Duration::from_secs(1);
        let in_time = study(Traffic::new(calls, base)).run(rules::judge).proven_within(until);
        assert!(in_time >= 89, "{base}: {in_time} proven within {until:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_rollouts() {
    let study = study(Traffic::new(50.0, 0.01).with_canary_failures(0.05));
    let calls = || study.run(rules::judge).calls_until_rollback().unwrap().median.to_bits();
    assert_eq!(calls(), calls());
}

#[test]
fn the_pictures_of_the_guide_are_current() {
    for picture in pictures() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../canary-analysis/docs")
            .join(picture.file);
        let drawn = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            drawn == picture.svg,
            "{} differs from the output of the example judge_pictures",
            picture.file
        );
    }
}

/// Counts the failures of each channel in each second, at a weight of 50 %.
struct Watched(Arc<Mutex<Vec<Second>>>);

impl RollbackRule for Watched {
    fn look(&mut self, second: &Second) -> Verdict {
        self.0.lock().unwrap().push(second.clone());
        Verdict::Inconclusive
    }

    fn before(&mut self, second: &Second) {
        assert_eq!(second.calls(Channel::Canary), 0);
        self.0.lock().unwrap().push(second.clone());
    }
}

/// Returns the seconds of one rollout at 50 %, after its baseline.
fn seconds(traffic: Traffic, last: u32) -> Vec<Second> {
    seconds_of(traffic, Schedule::new([(Weight::from_percent(50), last)]))
}

fn seconds_of(traffic: Traffic, schedule: Schedule) -> Vec<Second> {
    let seconds = Arc::new(Mutex::new(Vec::new()));
    let _ = Study::new(traffic, schedule, 1).run(|| Watched(Arc::clone(&seconds)));
    let seconds = seconds.lock().unwrap();
    seconds.clone()
}

/// Returns the numbers of the seconds in which more than half of the calls of a channel fail.
fn failing(seconds: &[Second], channel: Channel) -> Vec<usize> {
    let fails = |second: &Second| 2 * second.failures(channel) > second.calls(channel);
    (0..seconds.len()).filter(|at| fails(&seconds[*at])).collect()
}

#[test]
fn troubles_have_the_times_and_the_course_of_their_law() {
    let traffic = || Traffic::new(1_000.0, 0.0);
    let of = |trouble: Trouble, channel| {
        failing(&seconds(traffic().with_trouble(trouble).with_baseline(10), 30), channel)
    };
    for channel in Channel::ALL {
        let expected: Vec<usize> = (12..15).collect();
        assert_eq!(of(Trouble::once(2.0, 3.0), channel), expected);
        let ramp = Trouble::once(0.0, 20.0).shaped(Shape::Ramp);
        assert!(of(ramp, channel).iter().all(|at| (19..30).contains(at)));
        let flapping = Trouble::once(0.0, 30.0).shaped(Shape::Flapping(2.0, 3.0));
        assert_eq!(of(flapping, channel), [10, 11, 15, 16, 20, 21, 25, 26, 30, 31, 35, 36]);
    }
    // An incident before the rollout hits stable, which has all calls.
    assert_eq!(of(Trouble::once(-4.0, 2.0), Channel::Stable), [6, 7]);
    let regular = Trouble::new(Starts::Every(15.0), Law::Fixed(1.0));
    assert_eq!(of(regular, Channel::Stable), [0, 15, 30]);

    let own = Trouble::recurring(Law::Exponential(20.0), Law::Fixed(2.0));
    let own = own.of_each_alone(PerChannel { stable: 1, canary: 1 });
    let both = seconds(traffic().with_trouble(own), 2_000);
    let [stable, canary] = Channel::ALL.map(|channel| failing(&both, channel));
    assert!(stable.len() > 100 && canary.len() > 100 && stable != canary);
    // Of ten pods, one at a time is down.
    let pods = own.of_each_alone(PerChannel { stable: 10, canary: 0 });
    let both = seconds(traffic().with_trouble(pods), 500);
    let of = |count: fn(&Second, Channel) -> u64, channel| -> u64 {
        both.iter().map(|second| count(second, channel)).sum()
    };
    assert_eq!(of(Second::failures, Channel::Canary), 0);
    let share = 100 * of(Second::failures, Channel::Stable) / of(Second::calls, Channel::Stable);
    assert!((5..15).contains(&share), "{share} %");
}

#[test]
fn waiting_calls_count_at_the_weight_at_which_they_began() {
    let part = PerChannel { stable: 0.0, canary: 0.5 };
    let waiting = Waiting { part, lasts: Some(Law::Fixed(3.0)), ending: Ending::Failure };
    let traffic = Traffic::new(100.0, 0.0).with_waiting(waiting);
    let steps = [50, 10].map(|percent| (Weight::from_percent(percent), 10));
    let all = seconds_of(traffic, Schedule::new(steps));
    assert!(all[..3].iter().all(|second| second.failures(Channel::Canary) == 0));
    assert!(all[3].failures(Channel::Canary) > 5);
    // The calls of the last three seconds at 50 % end in the next step.
    for second in &all[10..13] {
        assert_eq!(second.failures(Channel::Canary), 0);
        let [late] = &second.snapshot().epochs[1..] else { panic!("one earlier step") };
        assert_eq!(late.weight, Weight::from_percent(50));
        assert!(late.counts.evidence.canary.failure > 5);
    }
    assert!(all[13].late.is_empty());
}

#[test]
fn a_cold_canary_fails_until_it_is_warm() {
    let cold = |until| {
        let cold = ColdStart { until, fails: 1.0, slower: 1.0 };
        let all = seconds(Traffic::new(100.0, 0.0).with_cold_start(cold), 20);
        assert!(failing(&all, Channel::Stable).is_empty());
        failing(&all, Channel::Canary)
    };
    assert_eq!(cold(ColdUntil::Seconds(4.0)), [0, 1, 2, 3]);
    assert!(cold(ColdUntil::Calls(100)).len() < 4);
}

#[test]
fn one_user_can_have_half_of_the_calls() {
    for activity in [Activity::OneHas(0.5), Activity::Zipf(2.0)] {
        let users = Users { count: 2_000, prone: 1, retries: 0, activity };
        let all = seconds(Traffic::new(100.0, 0.0).with_users(users), 60);
        let of = |channel| -> u64 { all.iter().map(|second| second.calls(channel)).sum() };
        let (stable, canary) = (of(Channel::Stable), of(Channel::Canary));
        // All calls of a sticky user are on one channel.
        assert!(stable.abs_diff(canary) > 1_000, "{stable} {canary}");
    }
}

#[test]
fn each_part_of_the_tables_of_verdicts_names_targets_and_whether_they_are_met() {
    for part in [Verdicts::Hangs, Verdicts::Cold, Verdicts::Speed] {
        let table = part.measure(1).to_string();
        let rows: Vec<&str> = table.lines().skip(4).filter(|line| !line.is_empty()).collect();
        assert!(rows.len() >= 3, "{table}");
        for row in rows {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 4, "{row}");
            assert!(["yes", "within two errors", "no"].contains(&cells[3]), "{row}");
        }
    }
}
