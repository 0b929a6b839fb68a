//! The verdicts of a judge.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::time::Duration;

use canary_analysis::{
    Finding, Judge, Judgment, Levels, Monitor, Observation, Role, SlowLimit, Until,
    error::JudgeError, keys::KeyLedger,
};
use canary_core::{Channel, ChannelCounts, LatencyBucket, PerChannel, Verdict, Weight};

use self::support::{TEN, at, calls, judge, judge_after, judged, snapshot, ticks};

mod support;

#[test]
fn no_calls_are_inconclusive() {
    let judgment = judge([Monitor::failures()]).judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    let text = "inconclusive in `failures`: no calls yet on either channel";
    assert_eq!(judgment.to_string(), text);
}

#[test]
fn one_channel_empty_is_inconclusive() {
    let no_canary = judged(Monitor::failures(), snapshot(TEN, calls(12_000, 345), calls(0, 0)));
    assert_eq!(no_canary.verdict, Verdict::Inconclusive);
    assert!(no_canary.to_string().ends_with("no canary calls yet, stable has 12,345"));

    // Without stable calls at this weight, 20 canary failures can be chance.
    let no_stable =
        judged(Monitor::failures(), snapshot(Weight::from_percent(99), calls(0, 0), calls(0, 20)));
    assert_eq!(no_stable.verdict, Verdict::Inconclusive);
}

#[test]
fn an_outage_of_both_channels_is_no_evidence_against_the_canary() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(0, 9_000), calls(0, 1_000)));
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert!(judgment.findings[0].worse.log_e < 0.0);
}

#[test]
fn a_worse_canary_is_degraded() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(8_919, 81), calls(969, 31)));
    assert_eq!(
        judgment.to_string(),
        "degraded by `failures`: canary fails 3.1% of calls, stable 0.9%; \
         odds against chance 230,000 : 1",
    );
    let finding = judgment.decisive().unwrap();
    assert!(finding.ratio.lower > 1.0);
    assert!(finding.rate(Channel::Canary).unwrap() > finding.rate(Channel::Stable).unwrap());
}

#[test]
fn a_good_canary_is_healthy() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(9_000, 0), calls(1_000, 0)));
    assert_eq!(
        judgment.to_string(),
        "healthy in all monitors, among them `failures`: canary fails 0% of calls, stable 0%; proven \
         below 0.5% (odds 42 : 1)",
    );
}

#[test]
fn spilled_calls_count_against_the_canary() {
    let mut canary = calls(0, 0);
    (canary.picked, canary.spilled) = (50, 50);
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(450, 0), canary));
    assert_eq!(judgment.verdict, Verdict::Degraded);
}

#[test]
fn calls_whose_outcome_the_callers_or_the_operator_made_are_no_evidence() {
    let mut canary = calls(100, 0);
    (canary.spilled, canary.shed) = (500, 500);
    (canary.cancelled, canary.cancelled_after_tag) = (500, 500);
    (canary.success, canary.client_made) = (600, 500);
    canary.picked = 1600;
    for monitor in [Monitor::failures(), Monitor::cancelled()] {
        let with = judged(monitor.clone(), snapshot(TEN, calls(900, 0), canary.clone()));
        let without = judged(monitor, snapshot(TEN, calls(900, 0), calls(100, 0)));
        assert_eq!(with.to_string(), without.to_string());
    }
}

#[test]
fn a_canary_with_cancelled_calls_is_degraded() {
    let (mut stable, mut canary) = (calls(900, 0), calls(60, 0));
    stable.cancelled = 9;
    canary.cancelled = 40;
    let judgment = judged(Monitor::cancelled(), snapshot(TEN, stable, canary));
    assert_eq!(judgment.verdict, Verdict::Degraded);
}

#[test]
fn a_broken_checkout_does_not_hide_among_healthy_reads() {
    let mut judge = judge([Monitor::failures(), Monitor::failures().of_class("checkout")]);
    let reads = snapshot(TEN, calls(900_000, 900), calls(100_000, 100));
    let checkout = snapshot(TEN, calls(9_000, 9), calls(950, 50));
    judge.observe(&Observation::of(reads).with_class("checkout", checkout));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    assert_eq!(judgment.decisive().unwrap().monitor, "failures of checkout");
    assert_ne!(judgment.findings[0].verdict, Verdict::Degraded);
}

#[test]
fn a_watch_only_monitor_neither_decides_nor_takes_alpha() {
    let bad = ticks([900, 100], [9, 90]);
    let mut judge = judge([Monitor::failures(), Monitor::event("order").watch_only()]);
    judge.observe(
        &Observation::of(snapshot(TEN, calls(9_000, 0), calls(1_000, 0))).with_event("order", bad),
    );
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Healthy);
    assert_eq!(judgment.findings[1].verdict, Verdict::Degraded);
    assert!((judgment.findings[0].worse.needed() - 100.0).abs() < 1e-9);
}

/// Returns the odds that each monitor needs to call the canary degraded.
fn odds_needed(monitors: impl IntoIterator<Item = Monitor>) -> Vec<f64> {
    let needed = |finding: &Finding| (1e6 * finding.worse.needed()).round() / 1e6;
    judge(monitors).judgment().findings.iter().map(needed).collect()
}

#[test]
fn the_failures_of_all_calls_take_eight_tenths_of_alpha_and_unanswered_ones_a_tenth() {
    let default = [Monitor::failures(), Monitor::cancelled(), Monitor::share()];
    assert_eq!(odds_needed(default.clone()), [125.0, 1_000.0, 1_000.0]);
    let more =
        [Monitor::unanswered(), Monitor::feedback(), Monitor::unanswered().of_class("checkout")];
    let more = default.into_iter().chain(more);
    assert_eq!(odds_needed(more), [125.0, 4_000.0, 4_000.0, 1_000.0, 4_000.0, 4_000.0]);
    assert_eq!(odds_needed([Monitor::failures(), Monitor::unanswered()]), [125.0, 500.0]);
    let per_key = [Monitor::share().per_key(), Monitor::failures().per_key()];
    assert_eq!(odds_needed(per_key), [500.0, 125.0]);
    // Without the failures of all calls, the parts are equal.
    let checkout = [Monitor::failures().of_class("checkout"), Monitor::cancelled()];
    assert_eq!(odds_needed(checkout), [200.0, 200.0]);
    // A watch-only monitor takes no part, and needs what it would need if it decided.
    let watched = [Monitor::failures(), Monitor::cancelled().watch_only()];
    assert_eq!(odds_needed(watched), [100.0, 500.0]);
}

#[test]
fn the_parts_of_the_deciding_monitors_sum_to_alpha() {
    let of = |class: usize| Monitor::failures().of_class(format!("class {class}"));
    for classes in 0..15 {
        let monitors = [Monitor::failures(), Monitor::feedback().watch_only()];
        let judge = judge(monitors.into_iter().chain((0..classes).map(of)));
        let deciding = judge.monitors().filter(|monitor| monitor.role() == Role::Decides);
        let sum: f64 = deciding.map(|monitor| judge.alpha_of(monitor.name()).unwrap()).sum();
        assert!((sum - 0.01).abs() < 1e-15, "{sum}");
    }
}

#[test]
fn feedback_and_events_decide() {
    let bad = ticks([900, 100], [90, 60]);
    let mut judge = judge([Monitor::feedback(), Monitor::event("order not completed")]);
    judge.observe(&Observation::default().with_feedback(bad));
    assert_eq!(judge.judgment().decisive().unwrap().monitor, "feedback");

    let one_more = Observation::default().with_event("order not completed", bad);
    judge.observe(&one_more);
    assert_eq!(judge.judgment().findings[1].verdict, Verdict::Degraded);
}

#[test]
fn all_monitors_must_be_healthy_before_the_canary_is() {
    let mut judge = judge([Monitor::failures(), Monitor::feedback()]);
    judge.observe(&Observation::of(snapshot(TEN, calls(9_000, 0), calls(1_000, 0))));
    let judgment = judge.judgment();
    assert_eq!(judgment.findings[0].verdict, Verdict::Healthy);
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert_eq!(judgment.decisive().unwrap().monitor, "feedback");
}

#[test]
fn a_broken_split_is_degraded() {
    let mut judge = judge([Monitor::failures(), Monitor::share()]);
    judge.observe(&Observation::of(snapshot(TEN, calls(9_000, 0), calls(9_000, 0))));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    assert_eq!(
        judgment.to_string(),
        "degraded by `share`: 50% of calls went to the canary, 10% requested; the assignment is broken, \
         or few users make most calls (sticky traffic needs `count_by = \"keys\"`); odds against chance \
         beyond 10^12 : 1",
    );
}

#[test]
fn slow_calls_are_judged_by_the_stable_calls_before_them() {
    let limit = SlowLimit::stable_quantile(0.9).unwrap();
    let mut judge = judge([Monitor::slow(Until::Head, limit).with_warm_up(Duration::ZERO)]);
    let tick = |slow_canary| {
        let stable = at(&[(10, 860), (100, 40)], calls(900, 0));
        let canary = at(&[(10, 100 - slow_canary), (40, slow_canary)], calls(100, 0));
        Observation::of(snapshot(TEN, stable, canary))
    };
    judge.observe(&tick(90));
    let first = judge.judgment();
    assert_eq!(first.findings[0].calls, PerChannel::default(), "there was no limit yet");

    judge.observe(&tick(90));
    let second = judge.judgment();
    assert_eq!(second.verdict, Verdict::Degraded);
    assert_eq!(second.findings[0].adverse, PerChannel { stable: 40, canary: 90 });
    let [canary, stable] =
        [second.findings[0].slow_limit, second.findings[0].stable_slow_limit].map(Option::unwrap);
    assert!(stable >= Duration::from_millis(10) && stable < Duration::from_millis(13));
    assert!(canary >= stable + Duration::from_millis(10) && canary < Duration::from_millis(27));
    let text = second.findings[0].to_string();
    let start = format!("90% of canary calls take over {canary:.1?}, 4.4% of stable's over ");
    assert!(text.starts_with(&start), "{text}");
}

/// Judges a canary whose median is given in microseconds, beside a stable of 30 µs.
fn verdict_of_median(quantile: f64, stable_micros: u64, canary_micros: u64) -> Verdict {
    let limit = SlowLimit::stable_quantile(quantile).unwrap();
    let mut judge = judge([Monitor::slow(Until::Head, limit).with_warm_up(Duration::ZERO)]);
    // Most calls take the median, and a few in a hundred up to a fifth longer.
    let spread = |median: u64, calls: u64, all: ChannelCounts| {
        let mut counts = all;
        for (part, share) in [(10, 60), (11, 37), (12, 3)] {
            let latency = Duration::from_micros(median * part / 10);
            counts.head.add(LatencyBucket::of(latency), calls * share / 100);
        }
        counts
    };
    for _ in 0..100 {
        let stable = spread(stable_micros, 900, calls(900, 0));
        let canary = spread(canary_micros, 100, calls(100, 0));
        judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
    }
    judge.verdict()
}

#[test]
fn a_difference_of_latency_that_does_not_matter_is_no_harm() {
    for (quantile, stable, canary) in [
        (0.99, 41, 1_041),
        (0.5, 41, 5_000),
        (0.5, 100_000, 103_000),
        (0.99, 1_000_000, 1_030_000),
        (0.9, 1_000_000, 1_190_000),
    ] {
        let verdict = verdict_of_median(quantile, stable, canary);
        assert_eq!(verdict, Verdict::Healthy, "p{quantile}: {stable} µs, {canary} µs");
    }
}

#[test]
fn a_difference_of_latency_that_matters_is_harm() {
    for (quantile, stable, canary) in [
        (0.99, 30, 300_000),
        (0.99, 30, 14_000),
        (0.5, 30, 14_000),
        (0.5, 100_000, 200_000),
        (0.99, 1_000_000, 2_000_000),
    ] {
        let verdict = verdict_of_median(quantile, stable, canary);
        assert_eq!(verdict, Verdict::Degraded, "p{quantile}: {stable} µs, {canary} µs");
    }
}

#[test]
fn a_slow_monitor_without_a_limit_gives_the_reason() {
    let limit = SlowLimit::stable_quantile(0.99).unwrap();
    let judgment =
        judged(Monitor::slow(Until::End, limit), snapshot(TEN, calls(9, 0), calls(1, 0)));
    assert!(judgment.to_string().ends_with(
        "the limit for slow calls is not known yet: stable has too few calls, or they are too slow to \
         measure"
    ));
}

#[test]
fn merged_replicas_are_judged_as_one_process() {
    let limit = SlowLimit::stable_quantile(0.9).unwrap();
    let monitors = || [Monitor::failures(), Monitor::slow(Until::Head, limit), Monitor::feedback()];
    let part = |calls_of_canary, failures| {
        let stable = at(&[(10, 700), (90, 70)], calls(760, 10));
        let canary = at(&[(30, calls_of_canary)], calls(calls_of_canary - failures, failures));
        snapshot(TEN, stable, canary)
    };
    let feedback = ticks([9, 9], [1, 8]);
    let (mut fleet, mut process) = (judge(monitors()), judge(monitors()));
    for _ in 0..3 {
        let replica = Observation::of(part(90, 4));
        let other = Observation::of(part(50, 1)).with_feedback(feedback);
        fleet.observe(&replica.with_replica(other));

        let mut sum = part(90, 4);
        sum.epochs[0].counts.merge(&part(50, 1).epochs[0].counts);
        process.observe(&Observation::of(sum).with_feedback(feedback));
    }
    assert_eq!(fleet.state(), process.state());
}

#[test]
fn invalid_monitors_are_refused() {
    let fail = |monitors: Vec<Monitor>| Judge::try_new(Levels::default(), monitors).unwrap_err();
    let twice = fail(vec![Monitor::failures(), Monitor::failures()]);
    assert_eq!(twice.to_string(), "two monitors are named `failures`");
    assert_eq!(fail(vec![Monitor::failures().named(" ")]), JudgeError::EmptyName);
    assert_eq!(fail(vec![]), JudgeError::NoDecidingMonitor);
    assert_eq!(fail(vec![Monitor::share()]), JudgeError::NoDecidingMonitor);
    let watching = vec![Monitor::failures().watch_only()];
    assert_eq!(fail(watching), JudgeError::NoDecidingMonitor);
}

#[test]
fn slow_monitors_of_different_limits_have_different_names() {
    let quantile = |quantile| SlowLimit::stable_quantile(quantile).unwrap();
    let fixed = |millis| SlowLimit::fixed(Duration::from_millis(millis)).unwrap();
    let monitors = [
        Monitor::slow(Until::Head, quantile(0.5)),
        Monitor::slow(Until::Head, quantile(0.999)),
        Monitor::slow(Until::End, quantile(0.999)),
        Monitor::slow(Until::End, fixed(300)),
        Monitor::slow(Until::End, fixed(400)),
    ];
    assert_eq!(
        monitors.each_ref().map(Monitor::name),
        [
            "slow head p50",
            "slow head p99.9",
            "slow end p99.9",
            "slow end 335.5ms",
            "slow end 402.7ms"
        ],
    );
    judge(monitors);
}

#[test]
fn the_decisive_finding_has_the_verdict_of_the_judgment() {
    // The failures do not reach their threshold, but the slow calls exceed it by far.
    let fixed = SlowLimit::fixed(Duration::from_millis(20)).unwrap();
    let mut judge =
        judge([Monitor::failures(), Monitor::slow(Until::Head, fixed), Monitor::share()]);
    let stable = at(&[(10, 9_000)], calls(8_950, 50));
    let canary = at(&[(10, 600), (90, 400)], calls(996, 4));
    judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
    let judgment = judge.judgment();
    assert_eq!(judgment.decisive().unwrap().verdict, judgment.verdict);

    // Feedback is incomplete, although its evidence for good is stronger than that of the failures.
    let mut judge = support::judge([Monitor::failures(), Monitor::feedback()]);
    let failures = snapshot(TEN, calls(9_000, 0), calls(900, 0));
    judge.observe(&Observation::of(failures).with_feedback(ticks([90_000, 100], [5_000, 0])));
    let judgment = judge.judgment();
    let [failures, feedback] = &judgment.findings[..] else { panic!("two monitors") };
    assert_eq!((failures.verdict, feedback.verdict), (Verdict::Healthy, Verdict::Inconclusive));
    assert!(feedback.good.unwrap().log_e > failures.good.unwrap().log_e);
    assert_eq!(judgment.decisive().unwrap().monitor, "feedback");
}

#[test]
fn a_share_without_calls_has_a_sentence() {
    let mut judge = judge([Monitor::failures(), Monitor::share()]);
    let text = |judge: &Judge| judge.judgment().findings[1].to_string();
    let nothing = "no calls yet that could go to either channel; \
                   no sign of a broken split";
    assert_eq!(text(&judge), nothing);
    judge.observe(&Observation::of(snapshot(Weight::FULL, calls(0, 0), calls(70, 0))));
    assert_eq!(text(&judge), nothing);

    judge.observe(&Observation::of(snapshot(Weight::ZERO, calls(1_000, 0), calls(1, 0))));
    assert_eq!(
        text(&judge),
        "1 call or key went to a channel that its weight excludes; the assignment is broken; odds against \
         chance beyond 10^12 : 1",
    );
    assert_eq!(judge.judgment().verdict, Verdict::Degraded);
}

#[test]
fn unused_observations_are_reported() {
    let mut judge = judge([Monitor::failures().of_class("checkout")]);
    let calls = || snapshot(TEN, calls(900, 0), calls(100, 0));
    judge.observe(
        &Observation::of(calls())
            .with_class("chekout", calls())
            .with_event("order", ticks([9, 1], [0, 0]))
            .with_feedback(ticks([9, 1], [0, 0]))
            .with_adverse_keys("failures of checkout", &KeyLedger::new(1).take())
            .with_seen_keys("failurs", &KeyLedger::new(1).take()),
    );
    assert_eq!(
        judge.judgment().to_string(),
        "inconclusive in `failures of checkout`: no calls yet on either channel; observed but used by no \
         monitor: calls of class `chekout`, events `order`, feedback, adverse keys for `failures of \
         checkout`, seen keys for `failurs`",
    );
    judge.observe(&Observation::default().with_class("checkout", calls()));
    assert_eq!(judge.judgment().unused.len(), 5);
}

#[test]
fn a_canary_both_worse_and_good_enough_is_healthy_first_and_degraded_later() {
    // 1.3 % instead of 1 %: more often, but not twice as often.
    let mut judge = judge_after(&calls(990, 10), [Monitor::failures()]);
    let mut verdicts = Vec::new();
    for thousands in 1..=80 {
        judge.observe(&Observation::of(snapshot(TEN, calls(8_910, 90), calls(987, 13))));
        let verdict = judge.verdict();
        if verdicts.last().is_none_or(|(_, last)| *last != verdict) {
            verdicts.push((thousands, verdict));
        }
    }
    let [inconclusive, healthy, degraded] =
        [Verdict::Inconclusive, Verdict::Healthy, Verdict::Degraded];
    // Harm that is nearly proven ends the healthy verdict first.
    assert_eq!(verdicts, [(1, inconclusive), (5, healthy), (16, inconclusive), (21, degraded)]);
    let good = judge.judgment().findings[0].good.unwrap();
    assert!(good.is_reached(), "proven harm takes priority");
}

#[test]
fn levels_out_of_range_are_named() {
    for (alpha, beta, text) in [
        (0.0, 0.1, "level `alpha` is 0, expected 1e-12 to 0.5"),
        (0.1, 0.6, "level `beta` is 0.6, expected 1e-12 to 0.5"),
        (1e-13, 0.1, "level `alpha` is 0.0000000000001, expected 1e-12 to 0.5"),
        (f64::NAN, 0.1, "level `alpha` is NaN, expected 1e-12 to 0.5"),
    ] {
        assert_eq!(Levels::try_new(alpha, beta).unwrap_err().to_string(), text);
    }
}

#[test]
fn counts_near_u64_max_do_not_panic() {
    let mut huge = ChannelCounts::default();
    (huge.picked, huge.success, huge.failure) = (u64::MAX, u64::MAX, u64::MAX);
    let huge = at(&[(10, u64::MAX), (100, u64::MAX)], huge);
    let slow = |limit| Monitor::slow(Until::Head, limit);
    let mut judge = judge([
        Monitor::failures(),
        Monitor::share(),
        Monitor::cancelled(),
        slow(SlowLimit::stable_quantile(0.5).unwrap()),
        slow(SlowLimit::fixed(Duration::from_millis(20)).unwrap()),
    ]);
    for _ in 0..3 {
        judge.observe(&Observation::of(snapshot(TEN, huge.clone(), huge.clone())));
    }
    let judgment = judge.judgment();
    assert!(judgment.findings.iter().all(|finding| finding.worse.log_e.is_finite()));
    assert!(!judgment.to_string().contains("NaN"));
    let state = judge.state();
    let monitors = judge.monitors().cloned().collect::<Vec<_>>();
    assert_eq!(Judge::try_resume(Levels::default(), monitors, &state).unwrap().state(), state);
}

#[test]
fn types_are_send_and_sync() {
    fn assert<T: Clone + std::fmt::Debug + Send + Sync>() {}
    assert::<Judge>();
    assert::<Judgment>();
    assert::<Observation>();
    assert::<KeyLedger>();
    assert::<Monitor>();
}

#[test]
fn feedback_and_events_cannot_have_a_class() {
    for monitor in [Monitor::feedback(), Monitor::event("order")] {
        let name = format!("{} of checkout", monitor.name());
        let of_checkout = monitor.of_class("checkout");
        let error = Judge::try_new(Levels::default(), [Monitor::failures(), of_checkout.clone()])
            .unwrap_err();
        assert_eq!(error, JudgeError::ClassNotSupported(name));
        assert!(error.to_string().ends_with("expected an event with its own name"));
        // Keys are observed by the name of the monitor.
        judge([of_checkout.per_key()]);
    }
}

#[test]
fn the_first_of_equal_findings_is_decisive() {
    let failures = Monitor::failures;
    let mut judge = judge([failures(), failures().of_class("checkout")]);
    let all = || snapshot(TEN, calls(900, 0), calls(0, 100));
    judge.observe(&Observation::of(all()).with_class("checkout", all()));
    assert_eq!(judge.judgment().decisive().unwrap().monitor, "failures");
}
