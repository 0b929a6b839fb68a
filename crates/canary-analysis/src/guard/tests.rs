use std::{
    sync::{Arc, Mutex},
    thread,
};

use canary_core::{Channel, Counts, EpochCounts, Verdict};

use super::*;
use crate::{Levels, Monitor, Observation};

/// The live counts of one epoch, as in the data plane.
#[derive(Clone)]
struct Live(Arc<Mutex<Snapshot>>);

impl Live {
    fn at(weight: Weight) -> Self {
        let epoch = EpochCounts::new(1, weight, Counts::default());
        Self(Arc::new(Mutex::new(Snapshot::new(Counts::default(), vec![epoch]))))
    }

    fn count(&self, channel: Channel, success: u64, failure: u64) {
        let counts = &mut self.0.lock().unwrap().epochs[0].counts.evidence[channel];
        counts.picked += success + failure;
        counts.success += success;
        counts.failure += failure;
    }

    fn read(&self) -> Snapshot {
        self.0.lock().unwrap().clone()
    }

    fn guard(&self, judge: &Judge) -> Guard<impl Fn() -> Snapshot + use<>> {
        let live = self.clone();
        judge.guard(Snapshot::default(), move || live.read()).unwrap()
    }
}

fn judge() -> Judge {
    Judge::try_new(Levels::default(), [Monitor::failures()]).unwrap()
}

/// Guarantee G4.
#[test]
fn a_canary_that_fails_every_call_trips_within_three() {
    for ppm in [1, 1_000, 10_000, 50_000, 100_000] {
        let weight = Weight::from_ppm(ppm);
        let live = Live::at(weight);
        let guard = live.guard(&judge());
        live.count(Channel::Stable, 1_000, 0);
        let calls = (1..=10).find(|_| {
            live.count(Channel::Canary, 0, 1);
            guard.canary_failed(weight).is_some()
        });
        assert!(calls.unwrap() <= 3, "{weight}: {calls:?}");
    }
}

/// Three failures in a row are chance once in 64 times at a weight of 25 %, and once in 8 at 50 %.
/// No rule with an `alpha` of 1 % can act on them.
#[test]
fn higher_weights_need_more_failures() {
    for (percent, most) in [(25, 5), (50, 9)] {
        let weight = Weight::from_percent(percent);
        let failures = failures_until_degraded(std::iter::repeat_n(weight, 20));
        assert_eq!(failures, most, "{weight}");
    }
}

#[test]
fn an_outage_of_both_channels_does_not_trip() {
    let weight = Weight::from_percent(10);
    let live = Live::at(weight);
    let guard = live.guard(&judge());
    for _ in 0..1_000 {
        live.count(Channel::Stable, 0, 9);
        live.count(Channel::Canary, 0, 1);
        assert!(guard.canary_failed(weight).is_none());
    }
}

#[test]
fn failures_that_the_judge_observed_are_not_counted_twice() {
    let weight = Weight::from_percent(10);
    let live = Live::at(weight);
    let mut judge = judge();
    let guard = live.guard(&judge);
    live.count(Channel::Canary, 0, 1);
    assert!(guard.canary_failed(weight).is_none());

    let now = live.read();
    judge.observe(&Observation::between(&Snapshot::default(), &now).unwrap());
    guard.follow(&judge, now);
    live.count(Channel::Canary, 0, 1);
    assert!(guard.canary_failed(weight).is_none());

    live.count(Channel::Canary, 0, 1);
    let trip = guard.canary_failed(weight).unwrap();
    assert_eq!(trip.evidence.adverse().canary, 3);
}

#[test]
fn a_later_guard_starts_with_the_evidence_of_the_judge() {
    let weight = Weight::from_percent(10);
    let live = Live::at(weight);
    let mut judge = judge();
    live.count(Channel::Canary, 0, 2);
    let now = live.read();
    judge.observe(&Observation::between(&Snapshot::default(), &now).unwrap());

    let source = live.clone();
    let guard = judge.guard(now, move || source.read()).unwrap();
    live.count(Channel::Canary, 0, 1);
    assert_eq!(guard.canary_failed(weight).unwrap().evidence.adverse().canary, 3);
}

/// Returns the number of failures, at these weights, after which the judge calls the canary
/// degraded.
fn failures_until_degraded(weights: impl IntoIterator<Item = Weight>) -> usize {
    let mut judge = judge();
    let degraded = weights.into_iter().position(|weight| {
        let live = Live::at(weight);
        live.count(Channel::Canary, 0, 1);
        judge.observe(&Observation::of(live.read()));
        judge.verdict() == Verdict::Degraded
    });
    degraded.unwrap() + 1
}

#[test]
fn failures_read_before_the_judge_are_kept() {
    let weight = Weight::from_percent(25);
    let failures = failures_until_degraded(std::iter::repeat_n(weight, 20));
    assert!(failures > 4, "{failures} are too few for this test");
    let live = Live::at(weight);
    let judge = judge();
    let guard = live.guard(&judge);
    for _ in 1..failures {
        live.count(Channel::Canary, 0, 1);
        assert!(guard.canary_failed(weight).is_none());
    }
    // More reported failures than counted ones make it look.
    while guard.pending.load().calls > 0 {
        assert!(guard.canary_failed(weight).is_none());
    }

    guard.follow(&judge, Snapshot::default());
    live.count(Channel::Canary, 0, 1);
    assert!(guard.canary_failed(weight).is_some());
}

#[test]
fn failures_at_several_weights_trip_when_they_suffice() {
    let [one, half] = [1, 50].map(Weight::from_percent);
    let weights = || [one].into_iter().chain(std::iter::repeat_n(half, 20));
    let failures = failures_until_degraded(weights());
    let shared = Live::at(one);
    shared.0.lock().unwrap().epochs.push(EpochCounts::new(2, half, Counts::default()));
    let guard = shared.guard(&judge());
    let tripped = weights().position(|weight| {
        let epoch = usize::from(weight == half);
        {
            let mut now = shared.0.lock().unwrap();
            let counts = &mut now.epochs[epoch].counts.evidence.canary;
            (counts.picked, counts.failure) = (counts.picked + 1, counts.failure + 1);
        }
        guard.canary_failed(weight).is_some()
    });
    assert_eq!(tripped.unwrap() + 1, failures);
}

#[test]
fn the_shortcut_equals_the_full_calculation() {
    let mut judge = judge().with_restarts();
    for ppm in 1..=1_000 {
        if ppm % 300 == 0 {
            judge.begin_step();
        }
        let live = Live::at(Weight::from_ppm(ppm * 900));
        live.count(Channel::Stable, 100, 2);
        live.count(Channel::Canary, 20, 1);
        judge.observe(&Observation::of(live.read()));
    }
    let comparison = judge.comparison("failures").unwrap();
    let weight = Weight::from_percent(3);
    let expected = {
        let live = Live::at(weight);
        live.count(Channel::Canary, 0, 7);
        judge.clone().with_observation(&live).comparison("failures").unwrap().log_e_worse()
    };
    let after = comparison.log_ratios().log_e_worse_after(SplitRatio::of(weight), 7);
    assert!((after - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{after} {expected}");
}

impl Judge {
    fn with_observation(mut self, live: &Live) -> Self {
        self.observe(&Observation::of(live.read()));
        self
    }
}

#[test]
fn it_trips_once_when_many_threads_fail_at_once() {
    let weight = Weight::from_percent(1);
    let live = Live::at(weight);
    let guard = Arc::new(live.guard(&judge()));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (guard, live) = (Arc::clone(&guard), live.clone());
            thread::spawn(move || {
                let fail = || {
                    live.count(Channel::Canary, 0, 1);
                    guard.canary_failed(weight).is_some()
                };
                (0..100).filter(|_| fail()).count()
            })
        })
        .collect();
    let trips: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(trips, 1);
    assert!(guard.is_tripped());
}

#[test]
fn counts_that_went_backwards_do_not_trip() {
    let weight = Weight::from_percent(1);
    let live = Live::at(weight);
    let judge = judge();
    let guard = live.guard(&judge);
    live.count(Channel::Canary, 5, 0);
    guard.follow(&judge, live.read());
    *live.0.lock().unwrap() = Snapshot::default();
    assert!((0..10).all(|_| guard.canary_failed(weight).is_none()));
}

#[test]
fn the_hook_can_be_shared() {
    fn assert_hook<T: Fn(Weight) + Send + Sync + 'static>(_: &T) {}
    let guard = Live::at(Weight::ZERO).guard(&judge());
    assert_hook(&move |weight| drop(guard.canary_failed(weight)));
}

/// Guarantee G10.
#[test]
fn the_guard_of_one_of_many_replicas_needs_a_few_more_failures() {
    for (percent, of_one, of_fifty) in [(1, 2, 3), (10, 3, 5), (50, 9, 16)] {
        let weight = Weight::from_percent(percent);
        let failures = [1, 50, 1_000, usize::MAX].map(|replicas| {
            let live = Live::at(weight);
            let guard = live.guard(&judge());
            guard.set_replicas(replicas);
            let trip = (1..=40).find(|_| {
                live.count(Channel::Canary, 0, 1);
                guard.canary_failed(weight).is_some()
            });
            trip.unwrap()
        });
        assert_eq!(failures[..2], [of_one, of_fifty], "{weight}");
        assert!(failures[1] < failures[2] && failures[2] == failures[3], "{weight}: {failures:?}");
    }
}
