//! The limit of the canary's concurrent calls.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use futures_util::future::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_canary::{
    Assignment, AssignmentReason, CanaryHandle, CanaryLayer, CanaryOptions, CanaryService, Channel,
    Weight,
    control::ControlExt as _,
    counts::Counts,
    select::{Incoming, Selection},
};

use crate::support::{ALMOST_ALL, OnPoll, ScriptedService, channel_of, one_key};

/// A canary that follows the [`OnPoll`] in the request's extensions.
fn canary() -> ScriptedService {
    ScriptedService::new().body("body").obey_requests().expect_channel(Channel::Canary)
}

fn stable() -> ScriptedService {
    ScriptedService::new().body("body").expect_channel(Channel::Stable)
}

fn request(script: OnPoll) -> Request<()> {
    let mut request = Request::new(());
    request.extensions_mut().insert(script);
    request
}

/// A canary with a limit, to which all calls are assigned.
struct Limited {
    canary: ScriptedService,
    layer: CanaryLayer<ScriptedService>,
    handle: CanaryHandle,
    service: Split,
}

type Split = CanaryService<ScriptedService, ScriptedService>;
type Call = <Split as Service<Request<()>>>::Future;

impl Limited {
    fn new(limit: usize) -> Self {
        Self::with_options(CanaryOptions::new().concurrency_limit(limit).select(one_key))
    }

    fn with_options(options: CanaryOptions) -> Self {
        let canary = canary();
        let layer = CanaryLayer::with_options("limited", canary.clone(), options);
        let (handle, service) = (layer.handle(), layer.layer(stable()));
        handle.set_weight(ALMOST_ALL).unwrap();
        Self { canary, layer, handle, service }
    }

    fn start(&self, script: OnPoll) -> task::Spawn<Call> {
        let mut call = task::spawn(self.service.clone().call(request(script)));
        if script == OnPoll::Hang {
            assert_pending!(call.poll());
        }
        call
    }

    /// Makes one call, which must not hang, reads the response, and returns the channel.
    fn call(&self, script: OnPoll) -> String {
        let response = assert_ready_ok!(self.start(script).poll());
        let channel = channel_of(&response).to_owned();
        response.into_body().collect().now_or_never().unwrap().unwrap();
        channel
    }

    /// Asserts the counting identities, and returns the counts.
    fn counts(&self) -> Counts {
        let counts = crate::support::counts(&self.handle);
        for channel in Channel::ALL {
            assert_eq!(self.handle.open(channel), counts.total(channel).in_flight());
        }
        counts
    }
}

#[test]
fn calls_above_the_limit_are_shed_to_stable() {
    let limited = Limited::new(2);
    let failures = Arc::new(AtomicUsize::new(0));
    limited.handle.on_canary_failure({
        let failures = Arc::clone(&failures);
        move |_, _| {
            failures.fetch_add(1, Ordering::Relaxed);
        }
    });
    let hanging = [OnPoll::Hang; 2].map(|script| limited.start(script));
    for _ in 0..3 {
        assert_eq!(limited.call(OnPoll::Respond), "stable");
    }
    let counts = limited.counts();
    let canary = &counts.evidence.canary;
    assert_eq!([canary.picked, canary.spilled, canary.shed, canary.in_flight()], [5, 3, 3, 2]);
    assert_eq!(counts.excluded.stable.reasons[AssignmentReason::Spilled], 3);
    assert_eq!(counts.excluded.stable.success, 3);
    assert_eq!(failures.load(Ordering::Relaxed), 0, "the operator's limit is no failure");

    drop(hanging);
    assert_eq!(limited.call(OnPoll::Respond), "canary");
    assert_eq!(limited.counts().evidence.canary.shed, 3);
}

#[test]
fn a_limit_per_key_leaves_the_other_permits_to_other_keys() {
    fn by_key(request: &Incoming<'_>) -> Option<Selection> {
        // Both keys are on the canary at this weight.
        let key = if request.path() == "/ann" { "ann" } else { "bob" };
        request.sticky_key(key).map(Selection::sticky)
    }
    let options = CanaryOptions::new().concurrency_limit(4).concurrency_limit_per_key(2);
    let limited = Limited::with_options(options.select(by_key));
    let call = |path: &str, script| {
        let mut request = request(script);
        *request.uri_mut() = path.parse().unwrap();
        task::spawn(limited.service.clone().call(request))
    };
    let mut hanging: Vec<_> = (0..4).map(|_| call("/ann", OnPoll::Hang)).collect();
    let canary = |picked, shed| {
        let canary = limited.counts().evidence.canary;
        assert_eq!([canary.picked, canary.shed], [picked, shed]);
    };
    canary(4, 2);
    let response = assert_ready_ok!(call("/bob", OnPoll::Respond).poll());
    assert_eq!(channel_of(&response), "canary");
    canary(5, 2);
    hanging.clear();
    let response = assert_ready_ok!(call("/ann", OnPoll::Respond).poll());
    assert_eq!(channel_of(&response), "canary");
    canary(6, 2);
}

#[test]
fn each_end_of_a_call_frees_its_permit() {
    let limited = Limited::new(1);
    for _ in 0..2 {
        drop(limited.start(OnPoll::Hang));
        for script in [OnPoll::Respond, OnPoll::RespondError, OnPoll::Panic, OnPoll::Respond] {
            assert_eq!(limited.call(script), "canary", "{script:?}");
        }
        // The body is dropped unread.
        drop(assert_ready_ok!(limited.start(OnPoll::Respond).poll()));
        limited.canary.set_ready(false);
        assert_eq!(limited.call(OnPoll::Respond), "stable");
        limited.canary.set_ready(true);
    }
    assert_eq!(limited.call(OnPoll::Respond), "canary");
    let canary = limited.counts().evidence.canary;
    assert_eq!([canary.shed, canary.spilled, canary.in_flight()], [0, 2, 0]);
}

#[test]
fn the_permit_is_held_until_the_end_of_the_body() {
    let limited = Limited::new(1);
    let response = assert_ready_ok!(limited.start(OnPoll::Respond).poll());
    assert_eq!(limited.call(OnPoll::Respond), "stable");
    response.into_body().collect().now_or_never().unwrap().unwrap();
    assert_eq!(limited.call(OnPoll::Respond), "canary");
}

#[test]
fn an_upgraded_connection_holds_its_permit_until_it_ends() {
    let connection = Arc::new(Mutex::new(None));
    let canary = service_fn({
        let connection = Arc::clone(&connection);
        move |request: Request<()>| {
            *connection.lock().unwrap() = request.extensions().get::<Assignment>().cloned();
            let mut response = Response::new(Empty::<bytes::Bytes>::new());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            ready(Ok::<_, Infallible>(response))
        }
    });
    let stable = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new())))
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
    *connection.lock().unwrap() = None;
    assert_eq!(call(), StatusCode::SWITCHING_PROTOCOLS);
}

#[test]
fn all_services_and_epochs_share_one_limit() {
    let limited = Limited::new(1);
    let mut other = limited.layer.layer(stable());
    let _hanging = limited.start(OnPoll::Hang);
    limited.handle.set_weight(Weight::from_ppm(999_998)).unwrap();
    let response = assert_ready_ok!(task::spawn(other.call(request(OnPoll::Respond))).poll());
    assert_eq!(response.headers()["x-canary-channel"], "stable");
}

#[test]
fn full_weight_does_not_shed_but_its_calls_count_against_the_limit() {
    let limited = Limited::new(1);
    limited.handle.promote().unwrap();
    let mut hanging = [OnPoll::Hang; 3].map(|script| limited.start(script)).into_iter();
    assert_eq!(limited.call(OnPoll::Respond), "canary");

    limited.handle.set_weight(ALMOST_ALL).unwrap();
    for left in (0..3).rev() {
        assert_eq!(limited.call(OnPoll::Respond), "stable", "{left}");
        hanging.next();
    }
    assert_eq!(limited.call(OnPoll::Respond), "canary");
    assert_eq!(limited.counts().evidence.canary.shed, 3);
}

#[test]
fn calls_by_rules_and_testers_are_shed_as_well() {
    for selection in [Selection::always, Selection::forced, Selection::propagated] {
        let options = CanaryOptions::new()
            .concurrency_limit(1)
            .select(move |_: &Incoming<'_>| Some(selection(Channel::Canary)));
        let limited = Limited::with_options(options);
        let _hanging = limited.start(OnPoll::Hang);
        assert_eq!(limited.call(OnPoll::Respond), "stable");
        let canary = &limited.counts().excluded.canary;
        assert_eq!([canary.picked, canary.spilled, canary.shed], [2, 1, 1]);
    }
}

#[test]
fn a_call_that_is_shed_uses_the_permit_reserved_at_stable() {
    let options = CanaryOptions::new()
        .concurrency_limit(1)
        .select(|_: &Incoming<'_>| Some(Selection::always(Channel::Canary)));
    let layer = CanaryLayer::with_options("limited", canary(), options);
    layer.handle().set_weight(ALMOST_ALL).unwrap();
    let service = layer.layer(ConcurrencyLimit::new(stable(), 1));
    let mut hanging = task::spawn(service.clone().call(request(OnPoll::Hang)));
    assert_pending!(hanging.poll());

    let mut service = service;
    for _ in 0..3 {
        let ready = task::spawn(service.ready()).poll();
        assert_ready_ok!(ready);
        let call = service.call(request(OnPoll::Respond));
        assert_ready_ok!(task::spawn(call).poll());
    }
}

#[test]
fn racing_threads_do_not_exceed_the_limit() {
    const THREADS: usize = 8;
    let limited = Limited::new(2);
    let start = Barrier::new(THREADS);
    let (limited, start) = (&limited, &start);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                start.wait();
                for call in 0..2000 {
                    match (thread + call) % 3 {
                        0 => drop(limited.service.clone().call(request(OnPoll::Hang))),
                        1 => drop(limited.call(OnPoll::RespondError)),
                        _ => drop(limited.call(OnPoll::Respond)),
                    }
                }
            });
        }
    });
    assert!(limited.canary.most_open() <= 2);
    let _hanging = [OnPoll::Hang; 2].map(|script| limited.start(script));
    assert_eq!(
        limited.counts().evidence.canary.in_flight(),
        2,
        "all permits are free after the race"
    );
    assert_eq!(limited.call(OnPoll::Respond), "stable");
}

#[test]
#[should_panic(expected = "concurrency limit is zero: expected at least one call")]
fn a_limit_of_zero_is_refused() {
    let _ = CanaryOptions::new().concurrency_limit(0);
}
