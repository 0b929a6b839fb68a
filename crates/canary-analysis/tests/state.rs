//! A restart goes on with the same evidence.

#![cfg(feature = "serde")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use canary_analysis::{
    Judge, JudgeState, KeyLedger, Levels, Margin, Margins, Monitor, Observation, SlowLimit, Until,
};
use canary_core::{Channel, Counts, EpochCounts, LatencyBucket, Snapshot, Weight};

fn monitors() -> [Monitor; 3] {
    let limit = SlowLimit::stable_quantile(0.9).unwrap();
    [Monitor::failures(), Monitor::slow(Until::Head, limit), Monitor::share()]
}

fn difference(weight: Weight) -> Observation {
    let mut counts = Counts::default();
    for (channel, calls) in [(Channel::Stable, 910), (Channel::Canary, 90)] {
        let counts = &mut counts.evidence[channel];
        (counts.picked, counts.success, counts.failure) = (calls, calls - 3, 3);
        counts.head.add(LatencyBucket::of(Duration::from_millis(7)), calls - 20);
        counts.head.add(LatencyBucket::of(Duration::from_millis(70)), 20);
    }
    Observation::of(Snapshot::new(Counts::default(), vec![EpochCounts::new(1, weight, counts)]))
}

fn stored(state: &JudgeState) -> JudgeState {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

#[test]
fn a_restart_changes_nothing() {
    let mut judge = Judge::try_new(Levels::default(), monitors()).unwrap().with_fresh_starts();
    let mut restarted = judge.clone();
    for percent in [1, 5, 10, 10, 5, 50] {
        let observation = difference(Weight::from_percent(percent));
        judge.begin_step();
        restarted.begin_step();
        judge.observe(&observation);
        let state = stored(&restarted.state());
        restarted = Judge::try_resume(Levels::default(), monitors(), &state).unwrap();
        restarted.observe(&observation);
    }
    assert_eq!(restarted.state(), judge.state());
    let findings = |judge: &Judge| format!("{:?}", judge.judgment());
    assert_eq!(findings(&restarted), findings(&judge));
}

#[test]
fn a_ledger_remembers_its_keys() {
    let mut ledger = KeyLedger::new(10);
    let one = Weight::from_percent(1);
    ledger.record(1, Channel::Canary, one);
    let mut restarted: KeyLedger =
        serde_json::from_str(&serde_json::to_string(&ledger).unwrap()).unwrap();
    let _ = restarted.take();
    restarted.record(1, Channel::Canary, one);
    assert!(restarted.take().tosses.is_empty());
}

#[test]
fn evidence_of_another_plan_is_refused_by_name() {
    let resume = |levels, monitors: Vec<Monitor>, state: &JudgeState| {
        Judge::try_resume(levels, monitors, state).unwrap_err().to_string()
    };
    let state = Judge::try_new(Levels::default(), monitors()).unwrap().state();

    let levels = Levels::try_new(0.05, 0.05).unwrap();
    let text = "the evidence was collected for other levels";
    assert_eq!(resume(levels, monitors().to_vec(), &state), text);

    let margin = Margin { ratio: 3.0, rate: 0.5 };
    let mut other = monitors().to_vec();
    other[0] = Monitor::failures().with_margins(Margins::try_new(margin, margin).unwrap());
    let text = "the stored evidence of monitor `failures` is of another measure or margin";
    assert_eq!(resume(Levels::default(), other, &state), text);

    let more = [&monitors()[..], &[Monitor::feedback()]].concat();
    let text = "there is no stored evidence of monitor `feedback`";
    assert_eq!(resume(Levels::default(), more, &state), text);
}

#[test]
fn a_judgment_is_written_with_the_words_of_the_house() {
    let mut judge = Judge::try_new(Levels::default(), monitors()).unwrap();
    judge.observe(&difference(Weight::from_percent(9)));
    let written = serde_json::to_value(judge.judgment()).unwrap();
    assert_eq!(written["verdict"], "inconclusive");
    let failures = &written["findings"][0];
    assert_eq!(failures["monitor"], "failures");
    assert_eq!(failures["role"], "decides");
    assert_eq!(failures["calls"]["canary"], 90);
    assert!(failures["ratio"]["lower"].as_f64().unwrap() > 0.0);
    assert!(failures["worse"]["log_e"].is_f64());
}

#[test]
fn corrupt_counts_are_refused_by_name() {
    let mut judge = Judge::try_new(Levels::default(), monitors()).unwrap();
    judge.observe(&difference(Weight::from_percent(5)));
    let mut state = serde_json::to_value(judge.state()).unwrap();
    state["monitors"]["failures"]["whole"]["events"][0][0] = 2_000_000.into();
    let state: JudgeState = serde_json::from_value(state).unwrap();
    let error = Judge::try_resume(Levels::default(), monitors(), &state).unwrap_err();
    let text = "the stored counts of monitor `failures` contradict each other";
    assert_eq!(error.to_string(), text);
}
