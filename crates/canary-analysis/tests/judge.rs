//! What the judge says, as a rollout asks it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use canary_analysis::{
    Judge, JudgeError, Judgment, KeyLedger, Levels, Monitor, Observation, SlowLimit, Until,
};
use canary_core::{Channel, ChannelCounts, PerChannel, Verdict, Weight};

use self::support::{TEN, at, calls, judge, judged, snapshot, ticks};

mod support;

#[test]
fn no_calls_are_inconclusive_and_said_so() {
    let judgment = judge([Monitor::failures()]).judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    let text = "inconclusive in `failures`: no calls seen yet, on neither channel";
    assert_eq!(judgment.to_string(), text);
}

#[test]
fn one_channel_empty_is_inconclusive() {
    let no_canary = judged(Monitor::failures(), snapshot(TEN, calls(12_000, 345), calls(0, 0)));
    assert_eq!(no_canary.verdict, Verdict::Inconclusive);
    assert!(no_canary.to_string().ends_with("no canary calls yet, 12,345 of stable's"));

    // A canary that fails while stable has had no call at this weight is no comparison, but for
    // chance.
    let no_stable =
        judged(Monitor::failures(), snapshot(Weight::from_percent(99), calls(0, 0), calls(0, 20)));
    assert_eq!(no_stable.verdict, Verdict::Inconclusive);
}

#[test]
fn nothing_but_failures_on_both_channels_is_no_fault_of_the_canary() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(0, 9_000), calls(0, 1_000)));
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert!(judgment.findings[0].worse.log_e < 0.0);
}

#[test]
fn a_canary_that_is_worse_is_degraded_with_a_sentence() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(8_919, 81), calls(969, 31)));
    assert_eq!(
        judgment.to_string(),
        "degraded by `failures`: canary fails 3.1 % of calls against stable's 0.9 %; \
         odds against chance 140,000 : 1",
    );
    let finding = judgment.decisive().unwrap();
    assert!(finding.ratio.lower > 1.0);
    assert!(finding.rate(Channel::Canary).unwrap() > finding.rate(Channel::Stable).unwrap());
}

#[test]
fn a_good_canary_is_healthy_with_a_sentence() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(9_000, 0), calls(1_000, 0)));
    assert_eq!(
        judgment.to_string(),
        "healthy in all monitors, among them `failures`: canary fails 0 % of calls against \
         stable's 0 %; proven below 2 times stable's, or below 0.5 %, at odds of 42 : 1",
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
fn a_canary_whose_callers_leave_is_degraded() {
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
fn a_monitor_that_only_watches_neither_decides_nor_takes_of_alpha() {
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

#[test]
fn alpha_is_split_over_the_monitors_that_decide() {
    let judge = judge([Monitor::failures(), Monitor::cancelled(), Monitor::share()]);
    assert!((judge.judgment().findings[0].worse.needed() - 300.0).abs() < 1e-9);
}

#[test]
fn feedback_and_events_are_monitors_like_any_other() {
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
fn a_broken_split_stops_the_rollout() {
    let mut judge = judge([Monitor::failures(), Monitor::share()]);
    judge.observe(&Observation::of(snapshot(TEN, calls(9_000, 0), calls(9_000, 0))));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    assert!(judgment.to_string().contains("was given 50 % of calls where 10 % was asked"));
    assert!(judgment.to_string().contains("; the assignment itself is broken, odds"));
}

#[test]
fn slow_calls_are_judged_by_the_stable_calls_before_them() {
    let limit = SlowLimit::stable_quantile(0.9).unwrap();
    let mut judge = judge([Monitor::slow(Until::Head, limit)]);
    let tick = |slow_canary| {
        let stable = at(&[(10, 860), (100, 40)], calls(900, 0));
        let canary = at(&[(10, 100 - slow_canary), (40, slow_canary)], calls(100, 0));
        Observation::of(snapshot(TEN, stable, canary))
    };
    judge.observe(&tick(90));
    let first = judge.judgment();
    assert_eq!(first.findings[0].calls, PerChannel::default(), "no limit was known before");

    judge.observe(&tick(90));
    let second = judge.judgment();
    assert_eq!(second.verdict, Verdict::Degraded);
    assert_eq!(second.findings[0].adverse, PerChannel { stable: 40, canary: 90 });
    let limit = second.findings[0].slow_limit.unwrap();
    assert!(limit >= Duration::from_millis(10) && limit < Duration::from_millis(13));
}

#[test]
fn a_slow_monitor_without_a_limit_says_what_it_waits_for() {
    let limit = SlowLimit::stable_quantile(0.99).unwrap();
    let judgment =
        judged(Monitor::slow(Until::End, limit), snapshot(TEN, calls(9, 0), calls(1, 0)));
    assert!(
        judgment
            .to_string()
            .ends_with("what is slow is not known yet: stable has too few calls, or too slow ones")
    );
}

#[test]
fn replicas_put_together_are_judged_as_one_process() {
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
fn monitors_that_cannot_work_are_named() {
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
fn slow_calls_beyond_stables_quantile_cannot_be_counted_per_key() {
    let slow =
        |limit| Judge::try_new(Levels::default(), [Monitor::slow(Until::Head, limit).per_key()]);
    let error = slow(SlowLimit::stable_quantile(0.99).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "monitor `slow head p99` cannot count per key what exceeds stable's quantile, \
         expected a fixed limit",
    );
    assert!(slow(SlowLimit::fixed(Duration::from_millis(300)).unwrap()).is_ok());
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
fn the_finding_that_is_quoted_says_what_the_judgment_says() {
    // Of 300 : 1 the failures reach 200; the slow calls are proven worse by far.
    let fixed = SlowLimit::fixed(Duration::from_millis(20)).unwrap();
    let mut judge =
        judge([Monitor::failures(), Monitor::slow(Until::Head, fixed), Monitor::share()]);
    let stable = at(&[(10, 9_000)], calls(8_950, 50));
    let canary = at(&[(10, 600), (90, 400)], calls(996, 4));
    judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
    let judgment = judge.judgment();
    assert_eq!(judgment.decisive().unwrap().verdict, judgment.verdict);

    // Feedback is doubtful, although its evidence is further beyond the threshold than the failures'.
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
fn a_share_without_a_call_is_told_of_in_a_sentence() {
    let mut judge = judge([Monitor::failures(), Monitor::share()]);
    let text = |judge: &Judge| judge.judgment().findings[1].to_string();
    let nothing = "no calls seen yet that could have gone to either channel; \
                   not proven broken (odds 1 : 1 of 200 : 1)";
    assert_eq!(text(&judge), nothing);
    judge.observe(&Observation::of(snapshot(Weight::FULL, calls(0, 0), calls(70, 0))));
    assert_eq!(text(&judge), nothing);

    judge.observe(&Observation::of(snapshot(Weight::ZERO, calls(1_000, 0), calls(1, 0))));
    assert_eq!(
        text(&judge),
        "1 call or key was on a channel that the weight excludes; the assignment itself is broken, \
         odds against chance 10^304 : 1",
    );
    assert_eq!(judge.judgment().verdict, Verdict::Degraded);
}

#[test]
fn what_no_monitor_asks_for_is_named() {
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
        "inconclusive in `failures of checkout`: no calls seen yet, on neither channel; observed, but \
         watched by no monitor: calls of class `chekout`, events `order`, feedback, keys for \
         `failures of checkout`, seen keys for `failurs`",
    );
    judge.observe(&Observation::default().with_class("checkout", calls()));
    assert_eq!(judge.judgment().unused.len(), 5);
}

#[test]
fn a_canary_both_worse_and_good_enough_is_healthy_first_and_degraded_at_last() {
    // 1.3 % against 1 %: more often, but not twice as often.
    let mut judge = judge([Monitor::failures()]);
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
    assert_eq!(verdicts, [(1, inconclusive), (5, healthy), (19, degraded)]);
    let good = judge.judgment().findings[0].good.unwrap();
    assert!(good.is_reached(), "of two proofs the one of harm counts");
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
fn counts_near_the_end_of_their_type_do_no_harm() {
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
fn values_may_be_sent_and_shared() {
    fn assert<T: Clone + std::fmt::Debug + Send + Sync>() {}
    assert::<Judge>();
    assert::<Judgment>();
    assert::<Observation>();
    assert::<KeyLedger>();
    assert::<Monitor>();
}

#[test]
fn what_is_told_without_a_class_cannot_be_bound_to_one() {
    for monitor in [Monitor::feedback(), Monitor::event("order")] {
        let name = format!("{} of checkout", monitor.name());
        let of_checkout = monitor.of_class("checkout");
        let error = Judge::try_new(Levels::default(), [Monitor::failures(), of_checkout.clone()])
            .unwrap_err();
        assert_eq!(error, JudgeError::ClassNotSupported(name));
        assert!(error.to_string().ends_with("expected an event with a name of its own"));
        // Keys are told by the monitor's name.
        judge([of_checkout.per_key()]);
    }
}

#[test]
fn of_monitors_that_say_the_same_the_first_is_quoted() {
    let failures = Monitor::failures;
    let mut judge = judge([failures(), failures().of_class("checkout")]);
    let all = || snapshot(TEN, calls(900, 0), calls(0, 100));
    judge.observe(&Observation::of(all()).with_class("checkout", all()));
    assert_eq!(judge.judgment().decisive().unwrap().monitor, "failures");
}
