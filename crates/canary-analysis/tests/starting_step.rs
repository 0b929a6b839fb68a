//! Monitors that judge only from a later step of the rollout on.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::{sync::Mutex, time::Duration};

use canary_analysis::{Judge, Limit, Monitor, Observation, SlowLimit, Until, keys::KeyLedger};
use canary_core::{Channel, ChannelCounts, Verdict, Weight};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Binomial, Distribution};

use self::support::{TEN, at, calls, judge, judge_after, snapshot};

mod support;

const HALF: Weight = Weight::from_percent(50);

fn late() -> Monitor {
    Monitor::failures().starting_at_step(3)
}

fn look(weight: Weight, stable: ChannelCounts, canary: ChannelCounts) -> Observation {
    Observation::of(snapshot(weight, stable, canary))
}

/// Returns the number of such seconds until the canary is healthy, at most 300.
fn seconds_to_healthy(judge: &mut Judge, stable: &ChannelCounts, canary: &ChannelCounts) -> usize {
    let seconds = (1..=300).find(|_| {
        judge.observe(&look(HALF, stable.clone(), canary.clone()));
        judge.verdict() == Verdict::Healthy
    });
    seconds.unwrap_or(usize::MAX)
}

fn timed(millis: u64) -> ChannelCounts {
    at(&[(millis, 50)], calls(50, 0))
}

#[test]
fn a_canary_that_is_bad_before_the_step_and_good_from_it_on_is_healthy() {
    let fixed = SlowLimit::fixed(Duration::from_millis(50)).unwrap();
    let of_stable = SlowLimit::stable_quantile(0.9).unwrap();
    let mut cancelled = calls(25, 0);
    (cancelled.picked, cancelled.cancelled) = (50, 25);
    for (monitor, bad) in [
        (Monitor::failures(), calls(25, 25)),
        (Monitor::failures().at_most(Limit::rate(0.1).unwrap()), calls(25, 25)),
        (Monitor::failures().at_most(Limit::count(5)), calls(25, 25)),
        (Monitor::cancelled(), cancelled),
        (Monitor::slow(Until::Head, fixed), timed(80)),
        (Monitor::slow(Until::Head, of_stable), timed(80)),
    ] {
        let name = monitor.name().to_owned();
        let (stable, good) = (timed(10), timed(10));
        // A number of calls proves nothing.
        let proof = Monitor::event("order").watch_only();
        let other = Monitor::failures().named("other");
        let judge_of = |monitor: Monitor| {
            judge_after(&stable, [monitor, other.clone().starting_at_step(3), proof.clone()])
        };
        let (mut late, mut early) =
            (judge_of(monitor.clone().starting_at_step(3)), judge_of(monitor));
        let mut fresh = early.clone();
        for _ in 0..180 {
            for judge in [&mut late, &mut early] {
                judge.observe(&look(HALF, stable.clone(), bad.clone()));
            }
            assert_eq!(late.verdict(), Verdict::Inconclusive, "{name}");
            assert_eq!(late.judgment().verdict, Verdict::Inconclusive, "{name}");
        }
        assert_eq!(early.verdict(), Verdict::Degraded, "{name}");

        // Nothing of that time is left: the proof takes as long as without it.
        late.reach_step(3);
        fresh.reach_step(3);
        let seconds = seconds_to_healthy(&mut late, &stable, &good);
        let alone = seconds_to_healthy(&mut fresh, &stable, &good);
        match name.starts_with("slow") {
            // The canary is warm.
            true => assert!(seconds <= 20 && alone > 120, "{name}: {seconds} {alone}"),
            false => assert_eq!(seconds, alone, "{name}: {}", late.judgment()),
        }
    }
}

#[test]
fn a_canary_that_fails_from_the_step_on_is_degraded_as_soon_as_at_a_start() {
    let calls_until_degraded = |judge: &mut Judge| {
        (1..100).find(|_| {
            judge.observe(&look(TEN, calls(9, 0), calls(0, 1)));
            judge.verdict() == Verdict::Degraded
        })
    };
    let mut late = judge([late()]).with_restarts();
    for _ in 0..3_600 {
        late.observe(&look(TEN, calls(90, 0), calls(10, 0)));
    }
    late.reach_step(3);
    late.begin_step();
    let mut start = judge([Monitor::failures()]).with_restarts();
    let log_e = |judge: &mut Judge| {
        judge.observe(&look(TEN, calls(9, 0), calls(0, 1)));
        judge.judgment().findings[0].worse.log_e.to_bits()
    };
    // No part of the wealth is spent twice on the same beginning.
    assert_eq!(log_e(&mut late), log_e(&mut start));
    assert_eq!(calls_until_degraded(&mut late), calls_until_degraded(&mut start));
}

#[test]
fn the_finding_and_the_judgment_name_the_step() {
    let monitors = [Monitor::failures().of_class("checkout"), late(), Monitor::share()];
    let mut judge = judge(monitors);
    let second = || {
        let both = snapshot(TEN, calls(90, 0), calls(10, 0));
        Observation::of(both.clone()).with_class("checkout", both)
    };
    (0..700).for_each(|_| judge.observe(&second()));
    let judgment = judge.judgment();
    // The monitor that has begun proves the canary alone.
    assert_eq!((judgment.verdict, judge.verdict()), (Verdict::Healthy, Verdict::Healthy));
    assert!(judgment.to_string().ends_with("; `failures` judges from step 3 on"), "{judgment}");
    let finding = &judgment.findings[1];
    assert_eq!((finding.starting_step, finding.waits_for_step), (3, Some(3)));
    assert_eq!((finding.calls.canary, finding.unanswered.canary), (0, 0));

    judge.reach_step(2);
    assert_eq!(judge.judgment().findings[1].waits_for_step, Some(3));
    judge.reach_step(4);
    judge.reach_step(1);
    assert_eq!(judge.step(), 4);
    judge.observe(&second());
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert!(
        judgment.to_string().starts_with(
            "inconclusive in `failures`: from step 3 on: 0 of 10 canary calls failed, 0 of 90 of stable's;"
        ),
        "{judgment}"
    );
}

/// A canary must not be proven by monitors that only find harm.
#[test]
fn without_a_monitor_that_proves_the_verdict_is_inconclusive() {
    let mut judge = judge([late(), Monitor::share(), Monitor::unanswered()]);
    for _ in 0..100 {
        judge.observe(&look(HALF, calls(50, 0), calls(50, 0)));
        assert_eq!(judge.verdict(), Verdict::Inconclusive);
    }
    let text = judge.judgment().to_string();
    assert_eq!(text, "inconclusive; `failures` judges from step 3 on");
}

#[test]
fn a_later_monitor_keeps_its_part_of_alpha() {
    let mut later = judge([late(), Monitor::cancelled(), Monitor::share()]);
    for step in [1, 3] {
        later.reach_step(step);
        assert_eq!(later.alpha_of("failures"), Some(0.008));
        assert_eq!(later.alpha_of("cancelled"), Some(0.001));
    }
}

#[test]
fn counts_of_an_earlier_step_are_no_evidence_for_a_monitor_that_has_begun() {
    let mut judge = judge([late(), Monitor::failures().named("whole")]);
    judge.reach_step(3);
    judge.observe(&look(TEN, calls(90, 0), calls(0, 10)).in_step(2));
    let finding = |judge: &Judge, at: usize| judge.judgment().findings.remove(at);
    assert_eq!((finding(&judge, 0).calls.canary, finding(&judge, 1).calls.canary), (0, 10));
    judge.observe(&look(TEN, calls(90, 0), calls(10, 0)).in_step(3));
    assert_eq!((finding(&judge, 0).calls.canary, finding(&judge, 1).calls.canary), (10, 20));
}

/// Calls in flight when the step begins are given, and their results must not hide other calls.
#[test]
fn a_canary_that_hangs_from_the_step_on_is_not_healthy() {
    let mut judge = judge_after(&calls(50, 0), [late()]);
    // 3,000 calls are open on each channel, for a minute.
    let open = |success, picked| {
        let mut counts = calls(success, 0);
        counts.picked = picked;
        counts
    };
    for _ in 0..60 {
        judge.observe(&look(HALF, open(0, 50), open(0, 50)));
    }
    judge.reach_step(3);
    let finding = judge.judgment().findings.remove(0);
    assert_eq!(finding.unanswered.canary, 3_000);
    // The open ones of the canary succeed, and the new ones hang.
    for _ in 0..60 {
        judge.observe(&look(HALF, open(100, 50), open(50, 50)));
        assert_eq!(judge.verdict(), Verdict::Inconclusive, "{}", judge.judgment());
    }
}

#[test]
fn the_guard_does_not_trip_before_the_step_and_trips_at_once_in_it() {
    let live = Mutex::new(snapshot(TEN, calls(0, 0), calls(0, 0)));
    let fail = |failures: u64| {
        live.lock().unwrap().epochs[0].counts.evidence.canary = calls(0, failures);
    };
    let mut judge = judge([late()]);
    let guard = judge.guard(live.lock().unwrap().clone(), || live.lock().unwrap().clone()).unwrap();
    for failures in 1..=50 {
        fail(failures);
        assert!(guard.canary_failed(TEN).is_none(), "{failures}");
        if failures % 10 == 0 {
            let now = live.lock().unwrap().clone();
            judge.observe(&look(TEN, calls(0, 0), calls(0, 10)));
            guard.follow(&judge, now);
        }
    }
    // Five more fail between the last look and the step.
    for failures in 51..=55 {
        fail(failures);
        assert!(guard.canary_failed(TEN).is_none(), "{failures}");
    }
    judge.reach_step(3);
    guard.follow(&judge, live.lock().unwrap().clone());
    let failures = (56..=70).find(|failures| {
        fail(*failures);
        guard.canary_failed(TEN).is_some()
    });
    assert_eq!(failures, Some(58), "the third failure in the step");
}

#[test]
fn the_guard_runs_the_monitor_that_starts_first() {
    let live = || snapshot(TEN, calls(0, 0), calls(0, 5));
    let judge = judge([late(), Monitor::failures().named("whole")]);
    let guard = judge.guard(snapshot(TEN, calls(0, 0), calls(0, 0)), live).unwrap();
    let trip = (0..5).find_map(|_| guard.canary_failed(TEN)).unwrap();
    assert_eq!(trip.monitor, "whole");
}

#[test]
fn keys_that_a_ledger_has_counted_before_the_step_count_again_after_it() {
    let mut ledger = KeyLedger::new(100).with_seed(7);
    ledger.narrow(ledger.sample().halved());
    let sample = ledger.sample();
    let key = (0..).find(|key| sample.holds(*key)).unwrap();
    ledger.record(key, Channel::Canary, TEN);
    ledger.clear();
    assert_eq!((ledger.sample(), ledger.key_count()), (sample, 0));
    assert_eq!(ledger.take().keys.canary, 0);
    ledger.record(key, Channel::Canary, HALF);
    assert_eq!(ledger.take().keys.canary, 1);
}

/// Guarantee G1: a plan with monitors that start later has the error rate of one without.
#[test]
fn good_canaries_are_rarely_degraded_by_a_later_monitor() {
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let (of_stable, of_canary) =
        (Binomial::new(450, 0.02).unwrap(), Binomial::new(50, 0.02).unwrap());
    let degraded = (0..2_000).filter(|_| {
        let mut judge = judge([late(), Monitor::failures().named("whole")]).with_restarts();
        (0..60).any(|second| {
            if second % 10 == 0 {
                judge.reach_step(1 + second / 10);
                judge.begin_step();
            }
            let (stable, canary) = (of_stable.sample(&mut rng), of_canary.sample(&mut rng));
            judge.observe(&look(TEN, calls(450 - stable, stable), calls(50 - canary, canary)));
            judge.verdict() == Verdict::Degraded
        })
    });
    let degraded = degraded.count();
    assert!(degraded <= 32, "{degraded} of 2000, stated: 1 %");
}

#[cfg(feature = "serde")]
#[test]
fn a_restart_before_at_and_after_the_step_changes_nothing() {
    use canary_analysis::JudgeState;

    let slow = || {
        let limit = SlowLimit::stable_quantile(0.9).unwrap();
        Monitor::slow(Until::Head, limit).starting_at_step(2)
    };
    let monitors =
        || [late(), slow(), Monitor::unanswered().starting_at_step(2), Monitor::cancelled()];
    let again = |judge: &Judge| {
        let json = serde_json::to_string(&judge.state()).unwrap();
        let stored: JudgeState = serde_json::from_str(&json).unwrap();
        Judge::try_resume(canary_analysis::Levels::default(), monitors(), &stored).unwrap()
    };
    let mut judge = judge(monitors()).with_restarts();
    let mut restarted = judge.clone();
    for second in 0..400 {
        if second % 100 == 0 {
            restarted = again(&restarted);
            judge.reach_step(1 + second / 100);
            restarted.reach_step(1 + second / 100);
            judge.begin_step();
            restarted.begin_step();
        }
        let mut canary = at(&[(10, 48), (60, 1)], calls(49, 1));
        canary.picked += 1;
        let observation = look(HALF, timed(10), canary);
        judge.observe(&observation);
        restarted = again(&restarted);
        restarted.observe(&observation);
        assert_eq!(restarted.state(), judge.state(), "{second}");
    }
    let findings = |judge: &Judge| format!("{:?}", judge.judgment());
    assert_eq!(findings(&restarted), findings(&judge));
    assert_eq!(again(&judge).step(), 4);

    // The step belongs to the monitor, and a state without it to a monitor of the whole rollout.
    let others = || {
        let [_, slow, unanswered, cancelled] = monitors();
        [Monitor::failures(), slow, unanswered, cancelled]
    };
    let error = Judge::try_resume(canary_analysis::Levels::default(), others(), &judge.state())
        .unwrap_err();
    assert!(error.to_string().contains("failures"), "{error}");
    let whole = support::judge([Monitor::failures()]);
    assert!(!serde_json::to_string(&whole.state()).unwrap().contains("step"));
}
