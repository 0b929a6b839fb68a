//! The counting invariant, while calls of all kinds, changes of the weight and readers race.

use std::{
    cell::Cell,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use canary_tests::assert_counts_add_up;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use tower::{Layer, Service, ServiceExt};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, CanaryService, Channel, Fallback, Weight,
    select::Condition,
};

/// What happens in a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answers,
    Fails,
    /// The caller drops the future.
    Hangs,
    /// The caller drops the body unread.
    IsLeft,
    /// The body ends in an error.
    Breaks,
    PanicsInCall,
    PanicsInPoll,
    PanicsInBody,
    /// The canary is not ready.
    Spills,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Call(Fate),
    SetWeight(u32),
    RollBack,
    Promote,
    Drain,
}

fn act() -> impl Strategy<Value = Act> {
    let fate = prop_oneof![
        Just(Fate::Answers),
        Just(Fate::Fails),
        Just(Fate::Hangs),
        Just(Fate::IsLeft),
        Just(Fate::Breaks),
        Just(Fate::PanicsInCall),
        Just(Fate::PanicsInPoll),
        Just(Fate::PanicsInBody),
        Just(Fate::Spills),
    ];
    prop_oneof![
        20 => fate.prop_map(Act::Call),
        2 => (0..=100_u32).prop_map(Act::SetWeight),
        1 => Just(Act::RollBack),
        1 => Just(Act::Promote),
        1 => Just(Act::Drain),
    ]
}

thread_local! {
    /// Whether the calls of this thread find the canary ready.
    static CANARY_IS_READY: Cell<bool> = const { Cell::new(true) };
}

/// A service that does what the request says.
#[derive(Clone)]
struct Fated(Channel);

struct FatedBody(Fate, Full<&'static [u8]>);

impl http_body::Body for FatedBody {
    type Data = &'static [u8];
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<&'static [u8]>, std::io::Error>>> {
        match self.0 {
            Fate::Breaks => Poll::Ready(Some(Err(std::io::Error::other("broken")))),
            Fate::PanicsInBody => resume_unwind(Box::new("body")),
            _ => Pin::new(&mut self.1).poll_frame(cx).map_err(|error| match error {}),
        }
    }
}

impl Service<Request<Fate>> for Fated {
    type Response = Response<FatedBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.0 == Channel::Stable || CANARY_IS_READY.get() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn call(&mut self, request: Request<Fate>) -> Self::Future {
        let fate = request.into_body();
        if let Fate::PanicsInCall = fate {
            resume_unwind(Box::new("call"));
        }
        Box::pin(async move {
            match fate {
                Fate::PanicsInPoll => resume_unwind(Box::new("poll")),
                Fate::Hangs => std::future::pending().await,
                _ => {}
            }
            let mut response = Response::new(FatedBody(fate, Full::new(b"body")));
            if let Fate::Fails = fate {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            Ok(response)
        })
    }
}

type Split = CanaryService<Fated, Fated>;

/// Makes one call, as a caller who is not patient, and says whether it was taken.
fn call(service: &Split, fate: Fate) -> bool {
    CANARY_IS_READY.set(!matches!(fate, Fate::Spills));
    let mut service = service.clone();
    if service.ready().now_or_never().is_none() {
        return false; // Promoted, and not ready.
    }
    // Panics of stable come through.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let Some(Ok(response)) = service.call(Request::new(fate)).now_or_never() else { return };
        if !matches!(fate, Fate::IsLeft) {
            let _ = response.into_body().collect().now_or_never();
        }
    }));
    true
}

/// Does what it is told, and returns how many calls were taken.
fn act_out(acts: &[Act], service: &Split, handle: &CanaryHandle) -> u64 {
    let mut calls = 0;
    for act in acts {
        match *act {
            Act::Call(fate) => calls += u64::from(call(service, fate)),
            Act::SetWeight(percent) => {
                handle.set_weight(Weight::from_percent(percent)).expect("nobody halts");
            }
            Act::RollBack => handle.roll_back(),
            Act::Promote => handle.promote().expect("nobody halts"),
            Act::Drain => drop(handle.drain(Channel::Canary)),
        }
    }
    calls
}

fn every_call_is_counted_once(threads: &[Vec<Act>], options: CanaryOptions) {
    let layer = CanaryLayer::with_options("raced", Fated(Channel::Canary), options);
    let handle = layer.handle();
    handle.set_weight(Weight::from_percent(50)).unwrap();
    let service = layer.layer(Fated(Channel::Stable));
    let start = Barrier::new(threads.len() + 1);
    let done = AtomicBool::new(false);

    let calls: u64 = thread::scope(|scope| {
        let (start, done, service, handle) = (&start, &done, &service, &handle);
        let reader = scope.spawn(move || {
            start.wait();
            let mut earlier = handle.counts();
            while !done.load(Ordering::Relaxed) {
                assert_counts_add_up(handle);
                let now = handle.counts();
                now.since(&earlier).expect("counts only grow");
                earlier = now;
            }
        });
        let actors: Vec<_> = threads
            .iter()
            .map(|acts| {
                scope.spawn(move || {
                    start.wait();
                    act_out(acts, service, handle)
                })
            })
            .collect();
        let calls = actors.into_iter().map(|actor| actor.join().unwrap()).sum();
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        calls
    });

    assert_counts_add_up(&handle);
    let total = handle.counts().total();
    let evidence = Channel::ALL.map(|channel| total.evidence[channel].picked);
    assert_eq!(evidence[0] + evidence[1], calls);
    for channel in Channel::ALL {
        assert_eq!(handle.open(channel), 0);
        assert_eq!(total.total(channel).in_flight(), 0);
    }
    let canary = &total.evidence.canary;
    assert_eq!(total.excluded.stable.picked, canary.spilled + canary.fell_back);
}

proptest! {
    // A race does not come again by its seed.
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_call_is_counted_once_whatever_races(
        threads in prop::collection::vec(prop::collection::vec(act(), 0..120), 4)
    ) {
        every_call_is_counted_once(&threads, CanaryOptions::new());
    }

    #[test]
    fn every_call_is_counted_once_if_it_is_shed_or_falls_back(
        threads in prop::collection::vec(prop::collection::vec(act(), 0..120), 4)
    ) {
        let fallback = Fallback::of_clones::<Fate>().only(Condition::any());
        let options = CanaryOptions::new().fallback(fallback).concurrency_limit(1);
        every_call_is_counted_once(&threads, options);
    }
}
