//! Stored evidence, and the judgments of a restored judge.

#![cfg(feature = "serde")]
#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::time::Duration;

use canary_analysis::{
    AdverseCounts, Baseline, Judge, JudgeState, Levels, Margin, Margins, Monitor, Observation,
    SlowLimit, Until,
    keys::{KeyLedger, Recorded},
};
use canary_core::{
    Channel, Counts, EpochCounts, KeySample, LatencyBucket, PerChannel, Snapshot, Weight,
};

fn monitors() -> [Monitor; 3] {
    let limit = SlowLimit::stable_quantile(0.9).unwrap();
    [Monitor::failures(), Monitor::slow(Until::Head, limit), Monitor::share()]
}

fn difference(weight: Weight) -> Observation {
    Observation::of(difference_of(weight))
}

fn difference_of(weight: Weight) -> Snapshot {
    let mut counts = Counts::default();
    for (channel, calls) in [(Channel::Stable, 910), (Channel::Canary, 90)] {
        let counts = &mut counts.evidence[channel];
        (counts.picked, counts.success, counts.failure) = (calls, calls - 3, 3);
        counts.head.add(LatencyBucket::of(Duration::from_millis(7)), calls - 20);
        counts.head.add(LatencyBucket::of(Duration::from_millis(70)), 20);
    }
    Snapshot::new(Counts::default(), vec![EpochCounts::new(1, weight, counts)])
}

fn stored(state: &JudgeState) -> JudgeState {
    serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap()
}

#[test]
fn a_restart_changes_nothing() {
    let mut judge = Judge::try_new(Levels::default(), monitors()).unwrap().with_restarts();
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

/// Traffic of every kind: calls, keys, events, a class, calls in flight and impossible calls.
fn every_kind() -> ([Monitor; 6], impl FnMut(u32) -> Observation) {
    let fixed = SlowLimit::fixed(Duration::from_millis(50)).unwrap();
    let monitors = [
        Monitor::failures(),
        Monitor::failures().per_key().named("failures per key"),
        Monitor::slow(Until::Head, fixed),
        Monitor::event("order"),
        Monitor::cancelled().of_class("checkout"),
        Monitor::share().watch_only(),
    ];
    let (mut failed, mut seen) = (KeyLedger::new(15), KeyLedger::new(1_000));
    let observe = move |step: u32| {
        let weight = Weight::from_percent(step * 3);
        for key in 0..100 {
            let channel = if key % 10 < 3 { Channel::Canary } else { Channel::Stable };
            seen.record(key + 100 * u64::from(step), channel, weight);
            if key % 7 == 0 {
                failed.record(key + 100 * u64::from(step), channel, weight);
            }
        }
        let Snapshot { mut epochs, .. } = difference_of(weight);
        epochs[0].counts.evidence.canary.picked += 5;
        epochs.push(EpochCounts::new(9, Weight::ZERO, Counts::default()));
        epochs[1].counts.evidence.canary.picked = 1;
        let all = PerChannel { stable: 90, canary: 10 };
        let some = PerChannel { stable: 3, canary: 2 };
        Observation::of(Snapshot::new(Counts::default(), epochs))
            .with_class("checkout", difference_of(weight))
            .with_event("order", [AdverseCounts::try_new(weight, all, some).unwrap()])
            .with_adverse_keys("failures per key", &failed.take())
            .with_seen_keys("failures per key", &seen.take())
    };
    (monitors, observe)
}

/// Returns the bits of all evidence of a judgment.
fn bits(judge: &Judge) -> Vec<u64> {
    let findings = judge.judgment().findings;
    let logs = findings.iter().flat_map(|finding| {
        [Some(finding.worse), finding.good].into_iter().flatten().map(|strength| strength.log_e)
    });
    logs.map(f64::to_bits).collect()
}

/// Guarantee G7.
#[test]
fn a_restored_judge_continues_with_the_same_bits() {
    let (monitors, mut observe) = every_kind();
    let mut judge = Judge::try_new(Levels::default(), monitors.clone()).unwrap().with_restarts();
    let mut restored = judge.clone();
    for step in 1..=12 {
        let observation = observe(step);
        for judge in [&mut judge, &mut restored] {
            judge.begin_step();
            judge.observe(&observation);
        }
        let state = stored(&restored.state());
        restored = Judge::try_resume(Levels::default(), monitors.clone(), &state).unwrap();
        assert_eq!(bits(&restored), bits(&judge), "after step {step}");
        assert_eq!(restored.judgment().to_string(), judge.judgment().to_string());
        assert_eq!(restored.state(), judge.state());
    }
    let findings = judge.judgment().findings;
    assert!(findings.iter().any(|finding| finding.refused_keys > 0), "the test needs this case");
    assert!(findings.iter().any(|finding| finding.impossible > 0), "the test needs this case");
    assert!(
        findings.iter().any(|finding| finding.unanswered.canary > 0),
        "the test needs this case"
    );
}

#[test]
fn a_restart_during_an_outage_changes_nothing() {
    let monitors = || [Monitor::failures()];
    let mut judge = Judge::try_new(Levels::default(), monitors()).unwrap();
    let mut restarted = judge.clone();
    for failures in [[0, 0], [1, 0], [45, 5], [40, 4], [1, 0], [3, 1], [0, 0], [45, 5], [0, 1]] {
        let mut counts = Counts::default();
        for (channel, calls, failed) in
            [(Channel::Stable, 45, failures[0]), (Channel::Canary, 5, failures[1])]
        {
            let counts = &mut counts.evidence[channel];
            (counts.picked, counts.success, counts.failure) = (calls, calls - failed, failed);
        }
        let epoch = EpochCounts::new(1, Weight::from_percent(10), counts);
        let observation = Observation::of(Snapshot::new(Counts::default(), vec![epoch]));
        judge.observe(&observation);
        restarted.observe(&observation);
        let state = stored(&restarted.state());
        restarted = Judge::try_resume(Levels::default(), monitors(), &state).unwrap();
        assert_eq!(bits(&restarted), bits(&judge));
        assert_eq!(restarted.state(), judge.state());
    }
    let whole = judge.evidence("failures").unwrap().log_e_good();
    assert!(judge.judgment().findings[0].good.unwrap().log_e < whole, "the test needs this case");
}

/// Stable and the canary have outages of their own and together, and rates between them.
fn bursty_look(second: u64) -> Observation {
    let fails = |channel: u64| match (second + 17 * channel) % 97 {
        0..=2 => 1.0,
        _ if second % 600 < 40 => 0.2,
        at => f64::from(u32::try_from(at % 3).unwrap()) / 400.0,
    };
    let mut counts = Counts::default();
    for (channel, calls, rate) in
        [(Channel::Stable, 900_u32, fails(0)), (Channel::Canary, 100, fails(1))]
    {
        let counts = &mut counts.evidence[channel];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let failed = (f64::from(calls) * rate) as u64;
        (counts.picked, counts.failure) = (calls.into(), failed);
        counts.success = counts.picked - failed;
    }
    let epoch = EpochCounts::new(1, Weight::from_percent(10), counts);
    Observation::of(Snapshot::new(Counts::default(), vec![epoch]))
}

/// Guarantee G7.
#[test]
fn a_restart_between_outages_changes_nothing() {
    let monitors = || [Monitor::failures()];
    let mut judge = Judge::try_new(Levels::default(), monitors()).unwrap();
    let mut restarted = judge.clone();
    for second in 0..4_000 {
        let look = bursty_look(second);
        judge.observe(&look);
        restarted.observe(&look);
        if second % 37 == 0 {
            let state = stored(&restarted.state());
            assert_eq!(state, judge.state(), "second {second}");
            restarted = Judge::try_resume(Levels::default(), monitors(), &state).unwrap();
            assert_eq!(restarted.judgment().to_string(), judge.judgment().to_string());
            assert_eq!(bits(&restarted), bits(&judge));
        }
    }
    let finding = &judge.judgment().findings[0];
    assert!(finding.second_proof.is_some(), "the test needs this case");
    let size = serde_json::to_string(&judge.state()).unwrap().len();
    assert!(size < 3_000, "{size} bytes");
}

#[test]
fn a_stored_baseline_gives_the_next_attempt_what_the_last_one_knew() {
    let monitors = || [Monitor::failures(), Monitor::share()];
    let mut judge = Judge::try_new(Levels::default(), monitors()).unwrap();
    (0..4_000).for_each(|second| judge.observe(&bursty_look(second)));
    let baseline = judge.baseline();
    assert_eq!(stored(&judge.state()).baseline(), baseline);

    let written = serde_json::to_string(&baseline).unwrap();
    assert!(written.len() < 1_000, "{} bytes", written.len());
    let read: Baseline = serde_json::from_str(&written).unwrap();
    let next = Judge::try_new(Levels::default(), monitors()).unwrap();
    let next = next.try_with_baseline(&read).unwrap();
    assert_eq!(next.baseline(), baseline);
    assert!(next.judgment().findings[0].second_proof.is_some());
    assert_eq!(next.evidence("failures").unwrap().calls(), PerChannel::default());

    // Another monitor has another baseline.
    let other = Judge::try_new(Levels::default(), [Monitor::cancelled()]).unwrap();
    assert_eq!(other.try_with_baseline(&read).unwrap().baseline(), Baseline::default());

    let corrupt = written.replacen("\"weighted_millis\":", "\"weighted_millis\":9999999", 1);
    assert_ne!(corrupt, written);
    let corrupt: Baseline = serde_json::from_str(&corrupt).unwrap();
    let next = Judge::try_new(Levels::default(), monitors()).unwrap();
    let error = next.try_with_baseline(&corrupt).unwrap_err().to_string();
    assert_eq!(error, "the stored counts of monitor `failures` contradict each other");
}

fn stored_ledger(ledger: &KeyLedger) -> KeyLedger {
    serde_json::from_str(&serde_json::to_string(ledger).unwrap()).unwrap()
}

#[test]
fn a_restored_ledger_has_its_keys_and_counts() {
    let one = Weight::from_percent(1);
    let mut ledger = KeyLedger::new(3);
    ledger.record(1, Channel::Canary, one);
    ledger.record(2, Channel::Stable, one);
    ledger.record(1, Channel::Stable, one);
    ledger.record(3, Channel::Stable, one);
    ledger.record(4, Channel::Stable, one);
    let mut restored = stored_ledger(&ledger);
    let counts = restored.take();
    assert_eq!((counts.refused, counts.impossible, counts.keys.stable), (1, 1, 2));
    assert_eq!(counts, ledger.take());

    let mut restored = stored_ledger(&ledger);
    let five = Weight::from_percent(5);
    for ledger in [&mut restored, &mut ledger] {
        ledger.record(1, Channel::Canary, five);
        ledger.record(2, Channel::Canary, five);
        ledger.record(4, Channel::Stable, five);
    }
    assert_eq!(restored.take(), ledger.take());
}

#[test]
fn a_restored_ledger_has_its_sample() {
    let (one, five) = (Weight::from_percent(1), Weight::from_percent(5));
    let mut ledger = KeyLedger::new(100).with_seed(7);
    (0..64).for_each(|key| {
        ledger.record(key, Channel::Stable, one);
    });
    let eighth = ledger.sample().after(3);
    ledger.narrow(eighth);
    let kept = (0..64).find(|key| eighth.holds(*key)).unwrap();
    let removed = (0..64).find(|key| !eighth.holds(*key)).unwrap();
    assert_eq!(ledger.take().keys.stable, 64);
    assert!((1..32).contains(&ledger.key_count()));

    let mut restored = stored_ledger(&ledger);
    assert_eq!(restored.sample(), eighth);
    // A removed key would count again, so a wider sample does not bring it back.
    restored.narrow(KeySample::ALL);
    assert_eq!(restored.record(removed, Channel::Stable, one), Recorded::NotInSample);
    assert_eq!(restored.record(kept, Channel::Stable, one), Recorded::AlreadyCounted);
    assert_eq!(restored.record(kept, Channel::Stable, five), Recorded::Counted);
    assert_eq!(restored.take().keys.stable, 0);
}

#[test]
fn an_invalid_stored_ledger_is_refused() {
    let mut ledger = KeyLedger::new(2);
    ledger.record(7, Channel::Canary, Weight::from_percent(1));
    let written = serde_json::to_value(&ledger).unwrap();
    let fail = |path: &str, value: serde_json::Value| {
        let mut changed = written.clone();
        *changed.pointer_mut(path).unwrap() = value;
        serde_json::from_value::<KeyLedger>(changed).unwrap_err().to_string()
    };
    assert_eq!(fail("/capacity", 0.into()), "the stored ledger has 1 keys, expected at most 0");
    let text = "keys have buckets 0..2000000, expected a non-empty range within 0..1000000";
    assert_eq!(fail("/ranges/0/to", 2_000_000.into()), text);
    let text = "keys have buckets 10000..10000, expected a non-empty range within 0..1000000";
    assert_eq!(fail("/ranges/0/from", 10_000.into()), text);
    let twice = serde_json::json!([written["ranges"][0], written["ranges"][0]]);
    assert_eq!(fail("/ranges", twice), "key 7 is stored twice");
    let text = "key 7 is not in the sample after 1 halvings";
    assert_eq!(fail("/halvings", 1.into()), text);
    let text =
        "a split ratio is 1000000 of 1000000 buckets, expected more than none and fewer than all";
    assert_eq!(fail("/counts/by_split/0/0", 1_000_000.into()), text);
}

#[test]
fn evidence_of_another_plan_is_refused() {
    let resume = |levels, monitors: Vec<Monitor>, state: &JudgeState| {
        Judge::try_resume(levels, monitors, state).unwrap_err().to_string()
    };
    let state = Judge::try_new(Levels::default(), monitors()).unwrap().state();

    let levels = Levels::try_new(0.05, 0.05).unwrap();
    let text = "the evidence was collected with other levels";
    assert_eq!(resume(levels, monitors().to_vec(), &state), text);

    let margin = Margin { ratio: 3.0, rate: 0.5 };
    let mut other = monitors().to_vec();
    other[0] = Monitor::failures().with_margins(Margins::try_new(margin, margin).unwrap());
    let text = "the stored evidence of monitor `failures` has another measure or margin";
    assert_eq!(resume(Levels::default(), other, &state), text);

    let more = [&monitors()[..], &[Monitor::feedback()]].concat();
    let text = "monitor `feedback` has no stored evidence";
    assert_eq!(resume(Levels::default(), more, &state), text);
}

#[test]
fn a_judgment_is_serialized_with_sentences_and_rates() {
    let mut judge = Judge::try_new(Levels::default(), monitors()).unwrap();
    let unknown = KeyLedger::new(1).take();
    judge.observe(&difference(Weight::from_percent(9)).with_seen_keys("unknown", &unknown));
    let judgment = judge.judgment();
    let written = serde_json::to_value(&judgment).unwrap();
    assert_eq!(written["verdict"], "inconclusive");
    assert_eq!(written["sentence"], judgment.to_string());
    assert_eq!(written["decisive"], judgment.decisive().unwrap().monitor);
    assert_eq!(written["unused"][0], "seen keys for `unknown`");
    let [failures, slow, share] = [0, 1, 2].map(|at| &written["findings"][at]);
    assert_eq!(failures["monitor"], "failures");
    assert_eq!(failures["role"], "decides");
    assert_eq!(failures["calls"]["canary"], 90);
    assert_eq!(failures["sentence"], judgment.findings[0].to_string());
    assert!((failures["rate"]["canary"].as_f64().unwrap() - 3.0 / 90.0).abs() < 1e-12);
    assert!(failures["ratio"]["lower"].as_f64().unwrap() > 0.0);
    let strength = &failures["worse"];
    let (log_e, e_value) = (strength["log_e"].as_f64().unwrap(), strength["e_value"].as_f64());
    assert!((log_e.exp() - e_value.unwrap()).abs() < 1e-9);
    assert!((strength["needed"].as_f64().unwrap() - 125.0).abs() < 1e-9);
    assert_eq!(slow["rate"]["canary"], serde_json::Value::Null);
    assert_eq!(share["good"], serde_json::Value::Null);
    assert!(share["split"]["requested"].is_f64());
}

#[test]
fn an_infinite_e_value_is_serialized_as_a_number() {
    let mut judge = Judge::try_new(Levels::default(), monitors()).unwrap();
    let mut impossible = Counts::default();
    impossible.evidence.canary.picked = 1;
    let epoch = EpochCounts::new(1, Weight::ZERO, impossible);
    judge.observe(&Observation::of(Snapshot::new(Counts::default(), vec![epoch])));
    let written = serde_json::to_string(&judge.judgment()).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert!(written["findings"][2]["worse"]["e_value"].as_f64().unwrap() > 1e300);
    assert_eq!(written["findings"][2]["impossible"], 1);
}

#[test]
fn corrupt_counts_are_refused() {
    let (monitors, mut observe) = every_kind();
    let mut judge = Judge::try_new(Levels::default(), monitors.clone()).unwrap().with_restarts();
    for step in 1..=12 {
        judge.begin_step();
        judge.observe(&observe(step));
    }
    let written = serde_json::to_value(judge.state()).unwrap();
    let resume = |path: &str, value: serde_json::Value| {
        let mut changed = written.clone();
        *path.split('/').skip(1).fold(&mut changed, |value, name| match value {
            serde_json::Value::Array(values) => &mut values[name.parse::<usize>().unwrap()],
            // Default values are not written.
            value => &mut value[name],
        }) = value;
        let state: JudgeState = serde_json::from_value(changed).unwrap();
        Judge::try_resume(Levels::default(), monitors.clone(), &state)
    };
    let starts = &written["monitors"]["failures"]["restarts"]["latest"];
    let unsorted: Vec<_> = starts.as_array().unwrap().iter().rev().cloned().collect();
    let more = [starts.as_array().unwrap().clone(), vec![starts[0].clone()]].concat();
    let level = |levels: u8| -> Vec<serde_json::Value> {
        (0..levels).map(|at| serde_json::json!([at, []])).collect()
    };
    let sums = |outages: u64, weighted_millis: u64| {
        let counts = [2, 2];
        let own = serde_json::json!({
            "outages": outages, "counts": counts, "weighted_millis": weighted_millis
        });
        let classes: Vec<_> = (0..8).map(|_| serde_json::json!({"own": own.clone()})).collect();
        vec![serde_json::json!({"adverse": 2, "classes": classes}), serde_json::json!({})]
    };
    for (monitor, path, value) in [
        ("failures", "whole/events/0/0", 2_000_000.into()),
        ("failures", "whole/calls/1", 1.into()),
        ("failures", "whole/adverse/0", 1.into()),
        ("failures", "whole/trials/0", 1.into()),
        ("failures", "restarts/latest", unsorted.into()),
        ("failures", "restarts/latest", more.into()),
        ("failures", "restarts/started", 3.into()),
        ("failures", "answers/calls/0/1", 0.into()),
        ("failures", "outages/block/events/0/0", 2_000_000.into()),
        ("failures", "outages/block/events/0/2", 1_000_000.into()),
        ("failures", "outages/block/counts", vec![1, 2].into()),
        ("failures", "outages/trials/0", 1_000_000.into()),
        ("failures", "outages/levels", level(17).into()),
        ("failures", "background/both/excess", 5_000_000_001_u64.into()),
        ("failures", "background/both/is_outage", true.into()),
        ("failures", "background/both/calm/known_millis", 3_600_001.into()),
        ("failures", "background/stable/calm/block", vec![1, 2].into()),
        ("failures", "background/history/calm", vec![vec![1, 2], vec![0, 0]].into()),
        ("failures", "background/history/scan/excess", 1.into()),
        ("failures", "background/history/sums", sums(0, 2).into()),
        ("failures", "background/history/sums", sums(1, 600_001).into()),
        ("failures", "blocks/signs", vec![vec![33, 1]].into()),
        ("failures", "blocks/signs", vec![vec![1, 0]].into()),
        ("failures", "blocks/means", vec![vec![1, 1], vec![1, 1]].into()),
        ("failures", "blocks/stable", vec![1, 2].into()),
        ("failures", "blocks/block/1", 600_001.into()),
        ("order", "answers/trials/0/1", 2_000_000.into()),
        ("failures", "stable_latencies", vec![1].into()),
        ("share", "whole/calls/0", 1.into()),
    ] {
        let error = resume(&format!("/monitors/{monitor}/{path}"), value).unwrap_err();
        let text = format!("the stored counts of monitor `{monitor}` contradict each other");
        assert_eq!(error.to_string(), text, "{path}");
    }
    assert!(resume("/version", 3.into()).is_ok());
    let text = "the stored evidence has version 7, expected 3";
    assert_eq!(resume("/version", 7.into()).unwrap_err().to_string(), text);
}
