//! How many calls the canary may have at a time.
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, limit::ConcurrencyLimit};
use tower_canary::{
    Assignment, AssignmentReason, CanaryHandle, CanaryLayer, CanaryOptions, CanaryService, Channel,
    Counts, Weight,
    control::ControlExt,
    select::{Incoming, Selection},
};

type Body = Full<&'static [u8]>;

/// What the canary does with a call. Stable always answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Deed {
    Answers,
    Fails,
    Hangs,
    Panics,
}

#[derive(Clone)]
struct Doer {
    channel: Channel,
    is_ready: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    most_calls: Arc<AtomicUsize>,
}

impl Doer {
    fn of(channel: Channel) -> Self {
        let (calls, most_calls) = Default::default();
        Self { channel, is_ready: Arc::new(true.into()), calls, most_calls }
    }
}

impl Service<Request<Deed>> for Doer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.is_ready.load(Ordering::Relaxed) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, request: Request<Deed>) -> Self::Future {
        let (head, deed) = request.into_parts();
        let assignment: &Assignment = head.extensions.get().unwrap();
        assert_eq!(assignment.channel(), self.channel, "the request tells who serves it");
        let (channel, calls) = (self.channel, Arc::clone(&self.calls));
        let open = calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_calls.fetch_max(open, Ordering::SeqCst);
        let left = Left(calls);
        async move {
            let _left = left;
            thread::yield_now();
            let mut response = Response::new(Full::new(&b"body"[..]));
            match (channel, deed) {
                (Channel::Canary, Deed::Hangs) => pending().await,
                (Channel::Canary, Deed::Panics) => panic!("as the test wants it to"),
                (Channel::Canary, Deed::Fails) => {
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                }
                _ => {}
            }
            Ok(response)
        }
        .boxed()
    }
}

struct Left(Arc<AtomicUsize>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A canary that all calls are assigned to, as evidence.
struct Limited {
    canary: Doer,
    layer: CanaryLayer<Doer>,
    handle: CanaryHandle,
    service: Split,
}

type Split = CanaryService<Doer, Doer>;
type Call = <Split as Service<Request<Deed>>>::Future;

impl Limited {
    fn to(calls: usize) -> Self {
        let options = CanaryOptions::new()
            .concurrency_limit(calls)
            .select(|request: &Incoming<'_>| request.sticky_key("ann").map(Selection::sticky));
        Self::with(options)
    }

    fn with(options: CanaryOptions) -> Self {
        let canary = Doer::of(Channel::Canary);
        let layer = CanaryLayer::with_options("limited", canary.clone(), options);
        let (handle, service) = (layer.handle(), layer.layer(Doer::of(Channel::Stable)));
        handle.set_weight(ALMOST_ALL).unwrap();
        Self { canary, layer, handle, service }
    }

    fn start(&self, deed: Deed) -> task::Spawn<Call> {
        let mut call = task::spawn(self.service.clone().call(Request::new(deed)));
        if deed == Deed::Hangs {
            assert_pending!(call.poll());
        }
        call
    }

    /// Makes one call that is answered at once, reads the answer, and says whose it is.
    fn who_answers(&self, deed: Deed) -> String {
        let response = assert_ready_ok!(self.start(deed).poll());
        let channel = response.headers()["x-canary-channel"].to_str().unwrap().to_owned();
        response.into_body().collect().now_or_never().unwrap().unwrap();
        channel
    }

    /// Asserts the counting identity, and returns the counts.
    fn counts(&self) -> Counts {
        let counts = self.handle.counts().total();
        for channel in Channel::ALL {
            assert_eq!(self.handle.open(channel), counts.total(channel).in_flight());
            for counts in [&counts.evidence[channel], &counts.excluded[channel]] {
                assert_eq!(counts.picked, counts.ended() + counts.in_flight());
            }
        }
        counts
    }
}

const ALMOST_ALL: Weight = Weight::from_ppm(999_999);

#[test]
fn calls_beyond_the_limit_go_to_stable_and_count_as_spilled_and_shed() {
    let limited = Limited::to(2);
    let heard = Arc::new(AtomicUsize::new(0));
    limited.handle.on_canary_failure({
        let heard = Arc::clone(&heard);
        move |_, _| {
            heard.fetch_add(1, Ordering::Relaxed);
        }
    });
    let hanging = [Deed::Hangs; 2].map(|deed| limited.start(deed));
    for _ in 0..3 {
        assert_eq!(limited.who_answers(Deed::Answers), "stable");
    }
    let counts = limited.counts();
    let canary = &counts.evidence.canary;
    assert_eq!([canary.picked, canary.spilled, canary.shed, canary.in_flight()], [5, 3, 3, 2]);
    assert_eq!(counts.excluded.stable.reasons[AssignmentReason::Spilled], 3);
    assert_eq!(counts.excluded.stable.success, 3);
    assert_eq!(heard.load(Ordering::Relaxed), 3);

    drop(hanging);
    assert_eq!(limited.who_answers(Deed::Answers), "canary");
    assert_eq!(limited.counts().evidence.canary.shed, 3);
}

#[test]
fn a_place_is_free_again_however_the_call_ended() {
    let limited = Limited::to(1);
    for _ in 0..2 {
        drop(limited.start(Deed::Hangs));
        for deed in [Deed::Answers, Deed::Fails, Deed::Panics, Deed::Answers] {
            assert_eq!(limited.who_answers(deed), "canary", "{deed:?}");
        }
        // A body that nobody reads.
        drop(assert_ready_ok!(limited.start(Deed::Answers).poll()));
        limited.canary.is_ready.store(false, Ordering::Relaxed);
        assert_eq!(limited.who_answers(Deed::Answers), "stable");
        limited.canary.is_ready.store(true, Ordering::Relaxed);
    }
    assert_eq!(limited.who_answers(Deed::Answers), "canary");
    let canary = limited.counts().evidence.canary;
    assert_eq!([canary.shed, canary.spilled, canary.in_flight()], [0, 2, 0]);
}

#[test]
fn the_place_is_held_to_the_end_of_the_body() {
    let limited = Limited::to(1);
    let response = assert_ready_ok!(limited.start(Deed::Answers).poll());
    assert_eq!(limited.who_answers(Deed::Answers), "stable");
    response.into_body().collect().now_or_never().unwrap().unwrap();
    assert_eq!(limited.who_answers(Deed::Answers), "canary");
}

#[test]
fn an_upgraded_connection_holds_its_place_until_it_ends() {
    let kept = Arc::new(std::sync::Mutex::new(None));
    let canary = tower::service_fn({
        let kept = Arc::clone(&kept);
        move |request: Request<()>| {
            *kept.lock().unwrap() = request.extensions().get::<Assignment>().cloned();
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            std::future::ready(Ok::<_, Infallible>(response))
        }
    });
    let stable = tower::service_fn(|_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::default())))
    });
    let options = CanaryOptions::new()
        .concurrency_limit(1)
        .select(|_: &Incoming<'_>| Some(Selection::forced(Channel::Canary)));
    let mut service = CanaryLayer::with_options("sockets", canary, options).layer(stable);
    let mut call = move || {
        let request = Request::builder().header("upgrade", "websocket").body(()).unwrap();
        assert_ready_ok!(task::spawn(service.call(request)).poll()).status()
    };
    assert_eq!(call(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(call(), StatusCode::OK);
    *kept.lock().unwrap() = None;
    assert_eq!(call(), StatusCode::SWITCHING_PROTOCOLS);
}

#[test]
fn the_limit_is_one_for_all_services_and_weights() {
    let limited = Limited::to(1);
    let mut other = limited.layer.layer(Doer::of(Channel::Stable));
    let _hanging = limited.start(Deed::Hangs);
    limited.handle.set_weight(Weight::from_ppm(999_998)).unwrap();
    let response = assert_ready_ok!(task::spawn(other.call(Request::new(Deed::Answers))).poll());
    assert_eq!(response.headers()["x-canary-channel"], "stable");
}

#[test]
fn nothing_is_shed_at_full_weight_but_all_is_counted_for_later() {
    let limited = Limited::to(1);
    limited.handle.promote().unwrap();
    let mut hanging = [Deed::Hangs; 3].map(|deed| limited.start(deed)).into_iter();
    assert_eq!(limited.who_answers(Deed::Answers), "canary");

    limited.handle.set_weight(ALMOST_ALL).unwrap();
    for left in (0..3).rev() {
        assert_eq!(limited.who_answers(Deed::Answers), "stable", "{left}");
        hanging.next();
    }
    assert_eq!(limited.who_answers(Deed::Answers), "canary");
    assert_eq!(limited.counts().evidence.canary.shed, 3);
}

#[test]
fn calls_that_a_rule_or_a_tester_sent_to_the_canary_are_shed_too() {
    for selection in [Selection::always, Selection::forced, Selection::propagated] {
        let options = CanaryOptions::new()
            .concurrency_limit(1)
            .select(move |_: &Incoming<'_>| Some(selection(Channel::Canary)));
        let limited = Limited::with(options);
        let _hanging = limited.start(Deed::Hangs);
        assert_eq!(limited.who_answers(Deed::Answers), "stable");
        let canary = &limited.counts().excluded.canary;
        assert_eq!([canary.picked, canary.spilled, canary.shed], [2, 1, 1]);
    }
}

#[test]
fn a_call_that_is_shed_takes_the_permit_that_stable_reserved_for_it() {
    let options = CanaryOptions::new()
        .concurrency_limit(1)
        .select(|_: &Incoming<'_>| Some(Selection::always(Channel::Canary)));
    let layer = CanaryLayer::with_options("limited", Doer::of(Channel::Canary), options);
    layer.handle().set_weight(ALMOST_ALL).unwrap();
    let service = layer.layer(ConcurrencyLimit::new(Doer::of(Channel::Stable), 1));
    let mut hanging = task::spawn(service.clone().call(Request::new(Deed::Hangs)));
    assert_pending!(hanging.poll());

    let mut service = service;
    for _ in 0..3 {
        let ready = task::spawn(std::future::poll_fn(|cx| service.poll_ready(cx))).poll();
        assert_ready_ok!(ready);
        let call = service.call(Request::new(Deed::Answers));
        assert_ready_ok!(task::spawn(call).poll());
    }
}

#[test]
fn threads_that_race_for_places_get_no_more_than_there_are() {
    const THREADS: usize = 8;
    let limited = Limited::to(2);
    let start = Barrier::new(THREADS);
    let (limited, start) = (&limited, &start);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                start.wait();
                for call in 0..2000 {
                    match (thread + call) % 3 {
                        0 => drop(limited.service.clone().call(Request::new(Deed::Hangs))),
                        1 => drop(limited.who_answers(Deed::Fails)),
                        _ => drop(limited.who_answers(Deed::Answers)),
                    }
                }
            });
        }
    });
    assert!(limited.canary.most_calls.load(Ordering::SeqCst) <= 2);
    let _hanging = [Deed::Hangs; 2].map(|deed| limited.start(deed));
    assert_eq!(limited.counts().evidence.canary.in_flight(), 2, "all places were given back");
    assert_eq!(limited.who_answers(Deed::Answers), "stable");
}

#[test]
#[should_panic(expected = "concurrency limit is zero: expected at least one call")]
fn a_limit_of_no_calls_is_refused() {
    let _ = CanaryOptions::new().concurrency_limit(0);
}
