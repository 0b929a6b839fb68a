//! The share asked is the share served, on every thread and in every clone.
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
};

use http::{Request, Response};
use http_body_util::Empty;
use proptest::prelude::*;
use tower::{Layer, Service};
use tower_canary::{CanaryHandle, CanaryLayer, CanaryService, Channel, Snapshot, Weight};

type Body = Empty<bytes::Bytes>;

/// Answers at once and counts on its own how often it was called.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU64>);

impl Counting {
    fn calls(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Service<Request<()>> for Counting {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.0.fetch_add(1, Ordering::Relaxed);
        ready(Ok(Response::new(Body::new())))
    }
}

struct Split {
    handle: CanaryHandle,
    service: CanaryService<Counting, Counting>,
    stable: Counting,
    canary: Counting,
}

fn split(weight: Weight) -> Split {
    let (stable, canary) = (Counting::default(), Counting::default());
    let layer = CanaryLayer::new("split", canary.clone());
    layer.handle().set_weight(weight).unwrap();
    Split { handle: layer.handle(), service: layer.layer(stable.clone()), stable, canary }
}

/// Calls as servers do, each through a clone of its own, and says who served.
fn call(service: &CanaryService<Counting, Counting>) -> Channel {
    let mut service = service.clone();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    match pin!(service.call(Request::new(()))).poll(&mut cx) {
        Poll::Ready(Ok(response)) => match response.headers()["x-canary-channel"].as_bytes() {
            b"stable" => Channel::Stable,
            _ => Channel::Canary,
        },
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => panic!("the services answer at once"),
    }
}

const THREADS: u64 = 4;
const CALLS: u64 = 1_000_000;

fn call_from_many_threads(service: &CanaryService<Counting, Counting>) {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..CALLS / THREADS).for_each(|_| _ = call(service)));
        }
    });
}

#[test]
fn at_zero_no_call_reaches_the_canary_and_at_full_weight_none_reaches_stable() {
    let Split { service, stable, canary, .. } = split(Weight::ZERO);
    call_from_many_threads(&service);
    assert_eq!([stable.calls(), canary.calls()], [CALLS, 0]);

    let Split { service, stable, canary, .. } = split(Weight::FULL);
    call_from_many_threads(&service);
    assert_eq!([stable.calls(), canary.calls()], [0, CALLS]);
}

#[test]
fn the_share_is_within_what_chance_allows() {
    for weight in ["0.1%", "12.5%", "99.9%"] {
        let weight: Weight = weight.parse().unwrap();
        let Split { handle, service, canary, .. } = split(weight);
        call_from_many_threads(&service);
        #[expect(clippy::cast_precision_loss, reason = "a million is exact")]
        let (calls, seen) = (CALLS as f64, canary.calls() as f64);
        let deviation = (calls * weight.ratio() * (1.0 - weight.ratio())).sqrt();
        // Beyond five deviations by chance: once in 1.7 million runs.
        let expected = calls * weight.ratio();
        assert!((seen - expected).abs() < 5.0 * deviation, "{seen} of {expected} at {weight}");
        let counts = handle.counts().total();
        assert!((counts.share().unwrap() - seen / calls).abs() < f64::EPSILON);
        assert_eq!(counts.evidence.canary.success, canary.calls());
    }
}

#[test]
fn no_call_that_starts_after_set_weight_returned_sees_the_old_weight() {
    let Split { handle, service, .. } = split(Weight::ZERO);
    // Even: the weight is settled, zero or full in turn. Odd: it is being changed.
    let version = AtomicU32::new(0);
    let stop = AtomicBool::new(false);
    let checked = thread::scope(|scope| {
        let callers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut checked = 0_u32;
                    while !stop.load(Ordering::Relaxed) {
                        let before = version.load(Ordering::SeqCst);
                        let channel = call(&service);
                        if before.is_multiple_of(2) && version.load(Ordering::SeqCst) == before {
                            let expected = Channel::ALL[(before as usize / 2) % 2];
                            assert_eq!(channel, expected, "after change {before}");
                            checked += 1;
                        }
                    }
                    checked
                })
            })
            .collect();
        for change in 1..=2_000 {
            version.fetch_add(1, Ordering::SeqCst);
            let weight = if change % 2 == 0 { Weight::ZERO } else { Weight::FULL };
            handle.set_weight(weight).unwrap();
            version.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        callers.into_iter().map(|caller| caller.join().unwrap()).sum::<u32>()
    });
    assert!(checked > 0, "no call fell between two changes");
}

#[test]
fn a_call_is_counted_at_the_weight_that_drew_it() {
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
fn what_is_kept_does_not_grow_with_the_changes_of_the_weight() {
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

/// What a thread of the race does.
#[derive(Clone, Copy, Debug)]
enum Action {
    Call,
    Leave,
    SetWeight(u32),
    RollBack,
    Drain,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => Just(Action::Call),
        3 => Just(Action::Leave),
        1 => (0..=100_u32).prop_map(Action::SetWeight),
        1 => Just(Action::RollBack),
        1 => Just(Action::Drain),
    ]
}

fn assert_identity(snapshot: &Snapshot) {
    for epoch in &snapshot.epochs {
        for channel in Channel::ALL {
            let counts = &epoch.counts.evidence[channel];
            assert!(counts.ended() <= counts.picked, "{counts:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// `picked = success + failure + cancelled + spilled + in flight`, at any time.
    #[test]
    fn every_call_is_counted_once_whatever_races(
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
                            Action::Leave => drop(service.clone().call(Request::new(()))),
                            Action::SetWeight(percent) => {
                                handle.set_weight(Weight::from_percent(*percent)).unwrap();
                            }
                            Action::RollBack => handle.roll_back(),
                            Action::Drain => drop(handle.drain(Channel::Canary)),
                        }
                        assert_identity(&handle.counts());
                    }
                });
            }
        });
        let count = |wanted: fn(&Action) -> bool| {
            scripts.iter().flatten().filter(|action| wanted(action)).count() as u64
        };
        let end = handle.counts();
        let total = end.since(&start).unwrap().total().evidence;
        let sum = |count: fn(&tower_canary::ChannelCounts) -> u64| {
            count(&total.stable) + count(&total.canary)
        };
        prop_assert_eq!(sum(|counts| counts.success), count(|action| matches!(action, Action::Call)));
        prop_assert_eq!(sum(|counts| counts.cancelled), count(|action| matches!(action, Action::Leave)));
        prop_assert_eq!(sum(tower_canary::ChannelCounts::in_flight), 0);
    }
}
