use std::{
    sync::{Arc, Mutex},
    thread,
};

use canary_core::{Channel, Counts, EpochCounts};

use super::*;
use crate::{Levels, Monitor, Observation};

/// Live counts of one epoch, as the data plane keeps them.
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
fn a_canary_that_fails_every_call_is_off_within_three() {
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
fn evidence_of_the_judge_is_not_counted_twice() {
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
fn a_guard_made_later_knows_what_the_judge_has_observed() {
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

#[test]
fn it_trips_once_however_many_threads_fail_at_once() {
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
