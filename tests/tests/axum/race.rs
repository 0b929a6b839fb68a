//! The counting invariants under races of calls, weight changes and readers.

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

/// The course of a call.
#[derive(Clone, Copy, Debug)]
enum CallScript {
    Responds,
    Fails,
    /// The service hangs, and the caller drops the future.
    Hangs,
    /// The caller drops the body unread.
    IsUnread,
    /// The body ends in an error.
    Breaks,
    PanicsInCall,
    PanicsInPoll,
    PanicsInBody,
    /// The canary is not ready.
    Spills,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Call(CallScript),
    SetWeight(u32),
    RollBack,
    Promote,
    Drain,
}

fn action() -> impl Strategy<Value = Action> {
    let script = prop_oneof![
        Just(CallScript::Responds),
        Just(CallScript::Fails),
        Just(CallScript::Hangs),
        Just(CallScript::IsUnread),
        Just(CallScript::Breaks),
        Just(CallScript::PanicsInCall),
        Just(CallScript::PanicsInPoll),
        Just(CallScript::PanicsInBody),
        Just(CallScript::Spills),
    ];
    prop_oneof![
        20 => script.prop_map(Action::Call),
        2 => (0..=100_u32).prop_map(Action::SetWeight),
        1 => Just(Action::RollBack),
        1 => Just(Action::Promote),
        1 => Just(Action::Drain),
    ]
}

thread_local! {
    /// Whether the canary is ready for the calls of this thread.
    static CANARY_IS_READY: Cell<bool> = const { Cell::new(true) };
}

/// A service that follows the script in the request.
#[derive(Clone)]
struct ScriptedService(Channel);

struct ScriptedBody(CallScript, Full<&'static [u8]>);

impl http_body::Body for ScriptedBody {
    type Data = &'static [u8];
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<&'static [u8]>, std::io::Error>>> {
        match self.0 {
            CallScript::Breaks => Poll::Ready(Some(Err(std::io::Error::other("broken")))),
            CallScript::PanicsInBody => resume_unwind(Box::new("body")),
            _ => Pin::new(&mut self.1).poll_frame(cx).map_err(|error| match error {}),
        }
    }
}

impl Service<Request<CallScript>> for ScriptedService {
    type Response = Response<ScriptedBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.0 == Channel::Stable || CANARY_IS_READY.get() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn call(&mut self, request: Request<CallScript>) -> Self::Future {
        let script = request.into_body();
        if let CallScript::PanicsInCall = script {
            resume_unwind(Box::new("call"));
        }
        Box::pin(async move {
            match script {
                CallScript::PanicsInPoll => resume_unwind(Box::new("poll")),
                CallScript::Hangs => std::future::pending().await,
                _ => {}
            }
            let mut response = Response::new(ScriptedBody(script, Full::new(b"body")));
            if let CallScript::Fails = script {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            Ok(response)
        })
    }
}

type Split = CanaryService<ScriptedService, ScriptedService>;

/// Makes one call without waiting, and returns whether the service accepted it.
fn call(service: &Split, script: CallScript) -> bool {
    CANARY_IS_READY.set(!matches!(script, CallScript::Spills));
    let mut service = service.clone();
    if service.ready().now_or_never().is_none() {
        return false; // The canary is promoted and not ready.
    }
    // Panics of stable reach the caller.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let Some(Ok(response)) = service.call(Request::new(script)).now_or_never() else { return };
        if !matches!(script, CallScript::IsUnread) {
            let _ = response.into_body().collect().now_or_never();
        }
    }));
    true
}

/// Runs the actions, and returns the number of accepted calls.
fn run(actions: &[Action], service: &Split, handle: &CanaryHandle) -> u64 {
    let mut calls = 0;
    for action in actions {
        match *action {
            Action::Call(script) => calls += u64::from(call(service, script)),
            Action::SetWeight(percent) => {
                handle.set_weight(Weight::from_percent(percent)).expect("the canary is not halted");
            }
            Action::RollBack => handle.roll_back(),
            Action::Promote => handle.promote().expect("the canary is not halted"),
            Action::Drain => drop(handle.drain(Channel::Canary)),
        }
    }
    calls
}

fn every_call_is_counted_once(threads: &[Vec<Action>], options: CanaryOptions) {
    let layer = CanaryLayer::with_options("raced", ScriptedService(Channel::Canary), options);
    let handle = layer.handle();
    handle.set_weight(Weight::from_percent(50)).unwrap();
    let service = layer.layer(ScriptedService(Channel::Stable));
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
        let callers: Vec<_> = threads
            .iter()
            .map(|actions| {
                scope.spawn(move || {
                    start.wait();
                    run(actions, service, handle)
                })
            })
            .collect();
        let calls = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
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
    // A seed does not reproduce a race.
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_call_is_counted_once_in_a_race(
        threads in prop::collection::vec(prop::collection::vec(action(), 0..120), 4)
    ) {
        every_call_is_counted_once(&threads, CanaryOptions::new());
    }

    #[test]
    fn every_call_is_counted_once_in_a_race_with_shedding_and_fallback(
        threads in prop::collection::vec(prop::collection::vec(action(), 0..120), 4)
    ) {
        let fallback = Fallback::of_clones::<CallScript>().only(Condition::any());
        let options = CanaryOptions::new().fallback(fallback).concurrency_limit(1);
        every_call_is_counted_once(&threads, options);
    }
}
