//! Calls without an answer are found while they are open.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use canary_analysis::{
    Judge, Levels, Monitor, Observation, SecondProof, error::JudgeError, keys::KeyLedger,
};
use canary_core::{
    Age, Channel, ChannelCounts, Counts, EpochCounts, PerChannel, Snapshot, Verdict, Weight,
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Binomial, Distribution};

use self::support::{TEN, calls, judge, judged, snapshot};

mod support;

/// Calls that all have been answered, except for those that reached an age without an answer.
fn waiting(answered: u64, unanswered: [u64; 3]) -> ChannelCounts {
    let mut counts = calls(answered, 0);
    counts.picked += unanswered[0];
    Age::ALL.into_iter().zip(unanswered).for_each(|(age, calls)| counts.unanswered[age] = calls);
    counts
}

/// The part of the calls of each channel that never get an answer.
#[derive(Clone, Copy)]
struct Hanging {
    stable: f64,
    canary: f64,
}

fn draw(rng: &mut ChaCha8Rng, calls: u64, part: f64) -> u64 {
    Binomial::new(calls, part).unwrap().sample(rng)
}

/// Simulates a rollout at one weight, and returns the second in which the canary is degraded.
fn degraded_in(
    seed: u64,
    (weight, per_second): (Weight, u64),
    hanging: Hanging,
    seconds: usize,
) -> Option<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut judge =
        judge([Monitor::failures(), Monitor::cancelled(), Monitor::unanswered()]).with_restarts();
    let mut hung: Vec<PerChannel<u64>> = Vec::new();
    (1..=seconds).find(|second| {
        let mut counts = Counts::default();
        let mut hang = PerChannel::default();
        let canary = draw(&mut rng, per_second, weight.ratio());
        for (channel, calls, part) in [
            (Channel::Stable, per_second - canary, hanging.stable),
            (Channel::Canary, canary, hanging.canary),
        ] {
            hang[channel] = draw(&mut rng, calls, part);
            counts.evidence[channel].picked = calls;
            counts.evidence[channel].success = calls - hang[channel];
        }
        hung.push(hang);
        for age in Age::ALL {
            // The data plane counts a call up to a second after it reached the age.
            let reached = usize::try_from(age.duration().as_secs()).unwrap() + 1;
            let Some(at) = second.checked_sub(reached + 1) else { continue };
            for channel in Channel::ALL {
                counts.evidence[channel].unanswered[age] = hung[at][channel];
            }
        }
        let epoch = EpochCounts::new(1, weight, counts);
        judge.observe(&Observation::of(Snapshot::new(Counts::default(), vec![epoch])));
        judge.verdict() == Verdict::Degraded
    })
}

fn median(mut times: Vec<Option<usize>>) -> usize {
    times.sort_by_key(|time| time.unwrap_or(usize::MAX));
    times[times.len() / 2].unwrap()
}

/// Guarantee G9.
#[test]
fn a_canary_that_hangs_is_degraded_within_seconds() {
    for (percent, part, at_most) in
        [(10, 1.0, 7), (50, 1.0, 7), (1, 1.0, 12), (10, 0.3, 10), (10, 0.05, 24)]
    {
        let hanging = Hanging { stable: 0.0, canary: part };
        let traffic = (Weight::from_percent(percent), 50);
        let times = (0..40).map(|seed| degraded_in(seed, traffic, hanging, 300)).collect();
        let median = median(times);
        assert!(median <= at_most, "{percent} %, {part}: {median} s");
    }
}

/// Guarantee G9.
#[test]
fn calls_that_wait_on_both_channels_alike_are_no_evidence() {
    for part in [0.001, 0.01, 0.3] {
        let hanging = Hanging { stable: part, canary: part };
        let degraded =
            (0..60).filter(|seed| degraded_in(*seed, (TEN, 20), hanging, 600).is_some()).count();
        assert!(degraded <= 1, "{part}: {degraded} of 60");
    }
}

/// Guarantee G9.
#[test]
fn a_canary_that_hangs_beside_long_calls_is_found() {
    let hanging = Hanging { stable: 0.3, canary: 1.0 };
    let times = (0..20).map(|seed| degraded_in(seed, (TEN, 50), hanging, 300)).collect();
    assert!(median(times) <= 25);
}

#[test]
fn the_sentence_names_the_age_and_both_channels() {
    let judgment = judged_with_failures(snapshot(TEN, calls(900, 0), waiting(70, [30, 2, 0])));
    assert_eq!(judgment.verdict, Verdict::Degraded);
    let text = judgment.to_string();
    assert!(
        text.starts_with(
            "degraded by `unanswered`: 30% of the canary's calls (30 of 100) have no answer after 5s, \
             none of stable's 900; "
        ),
        "{text}"
    );
    assert_eq!(judgment.decisive().unwrap().age, Some(Age::FiveSeconds));
}

#[test]
fn the_sentence_gives_stables_part_if_its_calls_wait_too() {
    let stable = waiting(800, [100, 100, 0]);
    let judgment = judged_with_failures(snapshot(TEN, stable, waiting(0, [100, 100, 0])));
    let text = judgment.findings[1].to_string();
    let start = "100% of the canary's calls (100 of 100) have no answer after 5s, 11% of stable's calls \
                 (100 of 900); ";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn a_canary_without_hanging_calls_need_not_be_proven_good() {
    let judgment = judged_with_failures(snapshot(TEN, calls(90_000, 0), calls(10_000, 0)));
    assert_eq!(judgment.verdict, Verdict::Healthy);
    assert_eq!(judgment.findings[1].verdict, Verdict::Inconclusive);
    let only = Judge::try_new(Levels::default(), [Monitor::unanswered()]).unwrap_err();
    assert_eq!(only, JudgeError::NoDecidingMonitor);
}

fn judged_with_failures(difference: Snapshot) -> canary_analysis::Judgment {
    let mut judge = judge([Monitor::failures(), Monitor::unanswered()]);
    judge.observe(&Observation::of(difference));
    judge.judgment()
}

#[test]
fn a_class_of_routes_is_judged_by_its_own_calls() {
    let mut judge = judge([Monitor::failures(), Monitor::unanswered().of_class("checkout")]);
    let all = snapshot(TEN, calls(9_000, 0), waiting(990, [10, 0, 0]));
    let checkout = snapshot(TEN, calls(90, 0), waiting(0, [10, 0, 0]));
    judge.observe(&Observation::of(all).with_class("checkout", checkout));
    let judgment = judge.judgment();
    assert_eq!(judgment.decisive().unwrap().monitor, "unanswered of checkout");
}

#[test]
fn keys_that_wait_for_an_answer_are_judged() {
    let mut judge = judge([Monitor::failures(), Monitor::unanswered().per_key()]);
    let keys = |first: u64, stable: u64, canary: u64| {
        let mut ledger = KeyLedger::new(1_000);
        for key in first..first + stable + canary {
            let channel = if key < first + stable { Channel::Stable } else { Channel::Canary };
            ledger.record(key, channel, TEN);
        }
        ledger.take()
    };
    let observation = Observation::of(snapshot(TEN, calls(9_000, 0), calls(1_000, 0)));
    judge.observe(
        &observation
            .with_seen_keys("unanswered", &keys(0, 180, 20))
            .with_adverse_keys("unanswered", &keys(180, 0, 20)),
    );
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    assert_eq!(judgment.decisive().unwrap().monitor, "unanswered");
    assert!(judgment.to_string().contains("20 of 20 canary keys"), "{judgment}");
}

#[test]
fn a_restored_judge_continues_with_the_same_evidence_about_waiting_calls() {
    let monitors = || [Monitor::failures(), Monitor::unanswered()];
    let mut judge = judge(monitors()).with_restarts();
    for _ in 0..3 {
        judge.begin_step();
        let stable = waiting(90, [1, 0, 0]);
        judge.observe(&Observation::of(snapshot(TEN, stable, waiting(9, [2, 1, 1]))));
    }
    let restored = Judge::try_resume(Levels::default(), monitors(), &judge.state()).unwrap();
    assert_eq!(restored.state(), judge.state());
    let evidence = |judge: &Judge| judge.judgment().findings[1].worse;
    assert_eq!(evidence(&restored), evidence(&judge));
    let finding = judged(Monitor::failures(), snapshot(TEN, calls(9, 0), calls(1, 0)));
    assert!(finding.findings[0].age.is_none());
}

/// Adds a second with 50 calls, of which all calls of the hanging channels reach five seconds
/// without an answer.
fn second(judge: &mut Judge, weight: Weight, hangs: PerChannel<bool>) -> Verdict {
    let canary = if weight == TEN { 5 } else { 0 };
    let of = |calls, hangs| if hangs { waiting(0, [calls, 0, 0]) } else { waiting(calls, [0; 3]) };
    let (stable, canary) = (of(50 - canary, hangs.stable), of(canary, hangs.canary));
    judge.observe(&Observation::of(snapshot(weight, stable, canary)));
    judge.verdict()
}

/// Returns a judge that has known for an hour a service whose calls hang for five seconds of every
/// ten minutes.
fn judge_of_hanging_pods() -> Judge {
    let monitors = || [Monitor::failures(), Monitor::unanswered()];
    let mut idle = judge(monitors());
    for at in 0..3_600 {
        second(&mut idle, Weight::ZERO, PerChannel { stable: at % 600 < 5, canary: false });
    }
    judge(monitors()).try_with_baseline(&idle.baseline()).unwrap()
}

/// Guarantee G2.
#[test]
fn calls_that_hang_on_one_channel_alone_are_no_harm_if_stables_do_so_too() {
    let after_a_hang = |mut judge: Judge| {
        for at in 0..400 {
            let canary = (300..305).contains(&at);
            second(&mut judge, TEN, PerChannel { stable: false, canary });
        }
        judge.judgment()
    };
    let judgment = after_a_hang(judge_of_hanging_pods());
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    let text = judgment.findings[1].to_string();
    let reason = "but stable has outages of its own, so that blocks of time must show it too";
    assert!(text.contains(reason), "{text}");
    assert_eq!(judgment.findings[1].verdict, Verdict::Inconclusive);
    let threshold = judgment.findings[1].second_proof.unwrap().threshold;
    assert!((threshold - 40_f64.ln()).abs() < 1e-9, "cancelled calls can show the same hang");

    let without = judge([Monitor::failures(), Monitor::unanswered()]);
    assert_eq!(after_a_hang(without).verdict, Verdict::Degraded);
    let never = judge_of_hanging_pods().with_second_proof(SecondProof::NEVER);
    assert_eq!(after_a_hang(never).verdict, Verdict::Degraded);
}

#[test]
fn a_canary_that_hangs_is_found_in_minutes_beside_pods_that_do() {
    let mut judge = judge_of_hanging_pods();
    let canary = PerChannel { stable: false, canary: true };
    let degraded = (1..600).find(|_| second(&mut judge, TEN, canary) == Verdict::Degraded);
    assert!(degraded.unwrap() <= 90, "{degraded:?}");
}

#[test]
fn a_restored_judge_continues_with_the_blocks_of_hanging_pods() {
    let mut judge = judge_of_hanging_pods();
    let hangs = |at| PerChannel { stable: at % 40 < 5, canary: at % 50 > 20 };
    for at in 0..100 {
        second(&mut judge, TEN, hangs(at));
    }
    let monitors = [Monitor::failures(), Monitor::unanswered()];
    let mut restored = Judge::try_resume(Levels::default(), monitors, &judge.state()).unwrap();
    for at in 100..200 {
        let verdicts = [&mut judge, &mut restored].map(|judge| second(judge, TEN, hangs(at)));
        assert_eq!(verdicts[0], verdicts[1]);
        assert_eq!(restored.state(), judge.state());
    }
}
