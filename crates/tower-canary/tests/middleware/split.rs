//! The observed share is the weight, on every thread and in every clone.

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    task::{Context, Poll, Waker},
    thread,
};

use http::Request;
use proptest::prelude::*;
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service as _};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryService, Channel, Weight,
    counts::{ChannelCounts, Snapshot},
};

use crate::support::{ScriptedService, channel_of, counts};

type Service = CanaryService<ScriptedService, ScriptedService>;

struct Split {
    handle: CanaryHandle,
    service: Service,
    stable: ScriptedService,
    canary: ScriptedService,
}

fn split(weight: Weight) -> Split {
    let (stable, canary) = (ScriptedService::new(), ScriptedService::new());
    let layer = CanaryLayer::new("split", canary.clone());
    layer.handle().set_weight(weight).unwrap();
    Split { handle: layer.handle(), service: layer.layer(stable.clone()), stable, canary }
}

/// Makes one call through a new clone, as servers do, and returns the channel that served it.
fn call(service: &Service) -> Channel {
    let mut service = service.clone();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    match pin!(service.call(Request::new(()))).poll(&mut cx) {
        Poll::Ready(response) => match channel_of(&response.unwrap()) {
            "stable" => Channel::Stable,
            _ => Channel::Canary,
        },
        Poll::Pending => panic!("the services respond at once"),
    }
}

const THREADS: u64 = 4;
const CALLS: u64 = 1_000_000;

fn call_from_many_threads(service: &Service) {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..CALLS / THREADS).for_each(|_| _ = call(service)));
        }
    });
}

#[test]
fn at_weight_zero_all_calls_go_to_stable_and_at_full_weight_all_to_the_canary() {
    let Split { service, stable, canary, .. } = split(Weight::ZERO);
    call_from_many_threads(&service);
    assert_eq!([stable.calls(), canary.calls()], [CALLS, 0]);

    let Split { service, stable, canary, .. } = split(Weight::FULL);
    call_from_many_threads(&service);
    assert_eq!([stable.calls(), canary.calls()], [0, CALLS]);
}

#[test]
fn the_share_is_within_five_standard_deviations_of_the_weight() {
    for weight in ["0.1%", "12.5%", "99.9%"] {
        let weight: Weight = weight.parse().unwrap();
        let Split { handle, service, canary, .. } = split(weight);
        call_from_many_threads(&service);
        #[expect(clippy::cast_precision_loss, reason = "a million is exact")]
        let (calls, observed) = (CALLS as f64, canary.calls() as f64);
        let deviation = (calls * weight.ratio() * (1.0 - weight.ratio())).sqrt();
        // A correct split fails once in 1.7 million runs.
        let expected = calls * weight.ratio();
        assert!(
            (observed - expected).abs() < 5.0 * deviation,
            "{observed}, not {expected}, at {weight}"
        );
        let counts = handle.counts().total();
        assert!((counts.share().unwrap() - observed / calls).abs() < f64::EPSILON);
        assert_eq!(counts.evidence.canary.success, canary.calls());
    }
}

#[test]
fn a_call_after_set_weight_returned_uses_the_new_weight() {
    let Split { handle, service, .. } = split(Weight::ZERO);
    // Even while the weight is fixed, at zero and full in turn. Odd while it changes.
    let version = AtomicU32::new(0);
    let stop = AtomicBool::new(false);
    let checked = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let before = version.load(Ordering::SeqCst);
                    let channel = call(&service);
                    if before.is_multiple_of(2) && version.load(Ordering::SeqCst) == before {
                        let expected = Channel::ALL[(before as usize / 2) % 2];
                        assert_eq!(channel, expected, "after change {before}");
                        checked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // On a busy machine, the callers may start late.
        let is_enough = || checked.load(Ordering::Relaxed) >= 1_000;
        for change in (1..10_000_000).take_while(|it| *it <= 2_000 || !is_enough()) {
            version.fetch_add(1, Ordering::SeqCst);
            let weight = if change % 2 == 0 { Weight::ZERO } else { Weight::FULL };
            handle.set_weight(weight).unwrap();
            version.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(checked.into_inner() > 0, "no call ran between two changes");
}

#[test]
fn a_call_is_counted_in_the_epoch_in_which_it_was_assigned() {
    let Split { handle, service: mut open, .. } = split(Weight::FULL);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(open.poll_ready(&mut cx).is_ready());
    let open = open.call(Request::new(()));
    for percent in 1..=20 {
        handle.set_weight(Weight::from_percent(percent)).unwrap();
    }
    assert!(pin!(open).poll(&mut cx).is_ready());

    let snapshot = handle.counts();
    let drawn = snapshot.epochs.iter().find(|epoch| epoch.weight == Weight::FULL).unwrap();
    assert_eq!(drawn.counts.evidence.canary.success, 1);
    assert_eq!(snapshot.current().unwrap().weight, Weight::from_percent(20));
    assert!(snapshot.epochs.is_sorted_by_key(|epoch| epoch.epoch));
}

#[test]
fn the_number_of_epochs_does_not_grow_with_the_weight_changes() {
    let Split { handle, service, .. } = split(Weight::ZERO);
    for change in 1..1_000 {
        handle.set_weight(Weight::from_ppm(change)).unwrap();
        call(&service);
    }
    let snapshot = handle.counts();
    assert!(snapshot.epochs.len() < 20, "{} epochs", snapshot.epochs.len());
    let total = snapshot.total().evidence;
    assert_eq!(total.stable.picked + total.canary.picked, 999);
}

#[test]
fn an_epoch_without_calls_is_left_out_once_it_is_over() {
    let split = split(Weight::ZERO);
    for percent in 1..5 {
        split.handle.set_weight(Weight::from_percent(percent)).unwrap();
    }
    assert_eq!(split.handle.counts().epochs.len(), 1);
    call(&split.service);
    split.handle.set_weight(Weight::ZERO).unwrap();
    split.handle.set_weight(Weight::FULL).unwrap();
    let weights: Vec<_> = split.handle.counts().epochs.iter().map(|it| it.weight).collect();
    assert_eq!(weights, [Weight::from_percent(4), Weight::FULL]);
}

#[test]
fn all_services_of_a_layer_share_one_weight_and_one_count() {
    let layer = CanaryLayer::new("shared", ScriptedService::new());
    let handle = layer.handle();
    for _ in 0..100 {
        let mut service = layer.clone().layer(ScriptedService::new());
        assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll());
    }
    assert_eq!(counts(&handle).evidence.stable.success, 100);
    handle.promote().unwrap();
    let mut service = layer.layer(ScriptedService::new());
    assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll());
    assert_eq!(counts(&handle).evidence.canary.success, 1);
}

/// One step of a thread in the race.
#[derive(Clone, Copy, Debug)]
enum Action {
    Call,
    Cancel,
    SetWeight(u32),
    RollBack,
    Drain,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => Just(Action::Call),
        3 => Just(Action::Cancel),
        1 => (0..=100_u32).prop_map(Action::SetWeight),
        1 => Just(Action::RollBack),
        1 => Just(Action::Drain),
    ]
}

fn assert_counts_add_up(snapshot: &Snapshot) {
    for epoch in &snapshot.epochs {
        for channel in Channel::ALL {
            let counts = &epoch.counts.evidence[channel];
            assert!(counts.ended() <= counts.picked, "{counts:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// At any time, `picked = success + failure + cancelled + spilled + in flight`.
    #[test]
    fn each_call_is_counted_once_in_a_race(
        scripts in proptest::collection::vec(proptest::collection::vec(action(), 1..60), 2..5)
    ) {
        let Split { handle, service, .. } = split(Weight::from_percent(50));
        let start = handle.counts();
        thread::scope(|scope| {
            for script in &scripts {
                let (handle, service) = (&handle, &service);
                scope.spawn(move || {
                    for action in script {
                        match action {
                            Action::Call => _ = call(service),
                            Action::Cancel => drop(service.clone().call(Request::new(()))),
                            Action::SetWeight(percent) => {
                                handle.set_weight(Weight::from_percent(*percent)).unwrap();
                            }
                            Action::RollBack => handle.roll_back(),
                            Action::Drain => drop(handle.drain(Channel::Canary)),
                        }
                        assert_counts_add_up(&handle.counts());
                    }
                });
            }
        });
        let count = |wanted: fn(&Action) -> bool| {
            scripts.iter().flatten().filter(|action| wanted(action)).count() as u64
        };
        let end = handle.counts();
        let total = end.since(&start).unwrap().total().evidence;
        let sum = |count: fn(&ChannelCounts) -> u64| {
            count(&total.stable) + count(&total.canary)
        };
        prop_assert_eq!(sum(|counts| counts.success), count(|action| matches!(action, Action::Call)));
        prop_assert_eq!(sum(|counts| counts.cancelled), count(|action| matches!(action, Action::Cancel)));
        prop_assert_eq!(sum(ChannelCounts::in_flight), 0);
    }
}
