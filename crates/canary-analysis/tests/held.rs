//! A healthy verdict is held until a bet on harm is strong, so that it does not come and go.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use canary_analysis::{Judge, Monitor, Observation, judgment::NotHealthyReason};
use canary_core::Verdict;

use self::support::{TEN, calls, judge, judge_after, snapshot};

mod support;

/// Adds canary calls to a judge, failures of stable at the same rate, and returns the verdict.
fn look(judge: &mut Judge, [success, failure]: [u64; 2]) -> Verdict {
    judge.observe(&Observation::of(snapshot(TEN, calls(9 * 100, 9), calls(success, failure))));
    judge.verdict()
}

/// Returns a judge whose proof is complete, and no more than that.
fn proven() -> Judge {
    let mut judge = judge_after(&calls(990, 10), [Monitor::failures()]);
    while look(&mut judge, [99, 1]) == Verdict::Inconclusive {}
    assert_eq!(judge.verdict(), Verdict::Healthy);
    judge
}

#[test]
fn a_few_failures_do_not_take_a_healthy_verdict_back() {
    let mut judge = proven();
    for _ in 0..2 {
        assert_eq!(look(&mut judge, [97, 3]), Verdict::Healthy);
    }
    let judgment = judge.judgment();
    assert!(!judgment.findings[0].good.unwrap().is_reached(), "the test needs this case");
    let text = "; proven good earlier, and not refuted since";
    assert!(judgment.to_string().ends_with(text), "{judgment}");
}

#[test]
fn odds_of_20_for_harm_end_a_healthy_verdict_and_less_than_5_let_it_begin_again() {
    let mut judge = proven();
    let harm = |judge: &Judge| judge.judgment().findings[0].worse.e_value();
    let (mut before, mut looks) = (0.0, 0);
    while look(&mut judge, [96, 4]) == Verdict::Healthy {
        (before, looks) = (harm(&judge), looks + 1);
    }
    assert!(looks > 1 && before < 20.0 && harm(&judge) >= 20.0, "{looks} {before}");
    assert_eq!(judge.verdict(), Verdict::Inconclusive);
    // Calm looks lower the evidence for harm.
    while look(&mut judge, [100, 0]) == Verdict::Inconclusive {}
    assert!(harm(&judge) < 5.0);
}

#[test]
fn signs_of_harm_are_named_if_they_prevent_a_healthy_verdict() {
    // The canary fails 1.3 % of calls and stable 1 %: good enough, but perhaps worse.
    let (stable, canary) = (calls(124_740, 1_260), calls(13_818, 182));
    let mut judge = judge_after(&calls(990, 10), [Monitor::failures()]);
    judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    let finding = &judgment.findings[0];
    assert!(matches!(finding.not_healthy_reason, Some(NotHealthyReason::SignsOfHarm { .. })));
    assert!(judgment.to_string().contains("; but a single bet on harm stands at 1"), "{judgment}");
}

/// In the mixture, the latest step has a small part of the wealth. By itself, its bet is strong.
#[test]
fn a_late_fault_ends_a_healthy_verdict_by_the_bet_of_its_step() {
    let mut plain = judge_after(&calls(990, 10), [Monitor::failures()]);
    let mut restarted = plain.clone().with_restarts();
    for judge in [&mut restarted, &mut plain] {
        (0..50).for_each(|_| {
            look(judge, [99, 1]);
        });
    }
    (0..5).for_each(|_| restarted.begin_step());
    let looks =
        |judge: &mut Judge| (1..).find(|_| look(judge, [94, 6]) != Verdict::Healthy).unwrap();
    let (restarted, plain) = (looks(&mut restarted), looks(&mut plain));
    assert!(restarted < plain, "{restarted} {plain}");
}

/// Guarantee G3.
#[test]
fn a_held_verdict_ends_when_the_canary_hangs() {
    let mut judge = proven();
    let mut hangs = calls(0, 0);
    hangs.picked = 100;
    judge.observe(&Observation::of(snapshot(TEN, calls(891, 9), hangs)));
    assert_eq!(judge.verdict(), Verdict::Inconclusive);
    let reason = judge.judgment().findings[0].not_healthy_reason.clone();
    assert!(matches!(reason, Some(NotHealthyReason::Unanswered { calls: 100, .. })), "{reason:?}");
}

#[test]
fn a_few_calls_in_flight_do_not_take_a_healthy_verdict_back() {
    let mut judge = judge([Monitor::failures()]);
    judge.observe(&Observation::of(snapshot(TEN, calls(8_100, 0), calls(900, 0))));
    assert_eq!(judge.verdict(), Verdict::Healthy);
    let (mut stable, mut canary) = (calls(90, 0), calls(10, 0));
    (stable.picked, canary.picked) = (110, 13);
    judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
    assert!(!judge.judgment().findings[0].good.unwrap().is_reached(), "the test needs this case");
    assert_eq!(judge.verdict(), Verdict::Healthy);
}
