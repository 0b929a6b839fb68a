//! Simulations of slow calls and forecasts, and a check of the pictures in the guide.

use std::{fs, path::Path, time::Duration};

use canary_analysis::{Forecast, Levels, Monitor, SlowLimit, Until};
use canary_analysis_sim::{LogNormal, Schedule, Study, Summary, Traffic, pictures, rules};
use canary_core::PerChannel;

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
        Study::new(traffic.with_latency(latency), Schedule::hour(), 20).run(rule)
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
