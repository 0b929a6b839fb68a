//! The weight determines the channel of each call, immediately and exactly.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use axum::{Router, routing::get};
use canary_tests::{Client, Server, assert_counts_add_up, final_counts};
use futures_util::{FutureExt, future::Ready};
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, Service, ServiceExt};
use tower_canary::{CanaryHandle, CanaryLayer, CanaryService, Channel, Tags, Weight};

/// A service that only counts its calls.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

impl Counter {
    fn calls(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Service<Request<()>> for Counter {
    type Response = Response<Empty<&'static [u8]>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.0.fetch_add(1, Ordering::Relaxed);
        futures_util::future::ready(Ok(Response::new(Empty::new())))
    }
}

type Split = CanaryService<Counter, Counter>;

fn split() -> (Split, CanaryHandle, [Counter; 2]) {
    let counters = [Counter::default(), Counter::default()];
    let layer = CanaryLayer::new("counted", counters[1].clone());
    let handle = layer.handle();
    (layer.layer(counters[0].clone()), handle, counters)
}

/// Calls a clone of the service, and returns the channel that responded.
fn call(service: &Split) -> Channel {
    let response = service.clone().oneshot(Request::new(())).now_or_never();
    let response = response.expect("both services respond at once").unwrap();
    match response.headers()[Tags::CHANNEL_HEADER].as_bytes() {
        b"canary" => Channel::Canary,
        _ => Channel::Stable,
    }
}

fn call_from_many_threads(service: &Split, calls: u64) {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let service = service.clone();
            scope.spawn(move || (0..calls / THREADS).for_each(|_| _ = call(&service)));
        }
    });
}

const THREADS: u64 = 8;
const MILLION: u64 = 1_000_000;

#[tokio::test]
async fn a_million_calls_all_go_to_stable_at_weight_zero_and_to_the_canary_at_full_weight() {
    let (service, handle, [stable, canary]) = split();
    call_from_many_threads(&service, MILLION);
    assert_eq!((stable.calls(), canary.calls()), (MILLION, 0));

    handle.set_weight(Weight::FULL).unwrap();
    call_from_many_threads(&service, MILLION);
    assert_eq!((stable.calls(), canary.calls()), (MILLION, MILLION));

    let counts = final_counts(&handle).await.evidence;
    assert_eq!((counts.stable.success, counts.canary.success), (MILLION, MILLION));
}

#[tokio::test]
async fn a_weight_of_a_tenth_of_a_percent_gives_the_canary_about_a_thousand_of_a_million_calls() {
    let (service, handle, [stable, canary]) = split();
    handle.set_weight("0.1%".parse().unwrap()).unwrap();
    call_from_many_threads(&service, MILLION);

    assert_eq!(stable.calls() + canary.calls(), MILLION);
    // Six standard deviations of a binomial, sqrt(1e6 * 0.001 * 0.999) = 31.6 each. A correct split
    // fails once in five hundred million runs.
    assert!((810..=1190).contains(&canary.calls()), "{}", canary.calls());
    let counts = final_counts(&handle).await;
    assert_eq!(counts.evidence.canary.picked, canary.calls());
    let (picked, share) = (u32::try_from(canary.calls()).unwrap(), counts.share().unwrap());
    assert!((share - f64::from(picked) / 1e6).abs() < 1e-12, "{share}");
}

/// Changes the weight. `steps` is even while the weight is fixed, and odd while it changes.
#[derive(Default)]
struct Operator {
    steps: AtomicU64,
    done: AtomicBool,
}

impl Operator {
    const fn channel(step: u64) -> Channel {
        if step.is_multiple_of(4) { Channel::Stable } else { Channel::Canary }
    }

    fn change(&self, handle: &CanaryHandle) {
        let step = self.steps.fetch_add(1, Ordering::SeqCst) + 2;
        match Self::channel(step) {
            Channel::Stable => handle.roll_back(),
            Channel::Canary => handle.set_weight(Weight::FULL).unwrap(),
        }
        self.steps.store(step, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_call_after_set_weight_returned_uses_the_new_weight() {
    let (service, handle, _) = split();
    let operator = Operator::default();
    let checked: u64 = thread::scope(|scope| {
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut checked = 0;
                    while !operator.done.load(Ordering::Relaxed) {
                        let before = operator.steps.load(Ordering::SeqCst);
                        let channel = call(&service);
                        let after = operator.steps.load(Ordering::SeqCst);
                        if before == after && before.is_multiple_of(2) {
                            assert_eq!(channel, Operator::channel(before), "step {before}");
                            checked += 1;
                        }
                    }
                    checked
                })
            })
            .collect();
        for _ in 0..2_000 {
            operator.change(&handle);
            thread::yield_now();
        }
        operator.done.store(true, Ordering::Relaxed);
        callers.into_iter().map(|caller| caller.join().unwrap()).sum()
    });
    assert!(checked > 1_000, "only {checked} calls ran between two changes");
    final_counts(&handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_a_socket_after_set_weight_returned_uses_the_new_weight() {
    let layer = CanaryLayer::new("sockets", Router::new().route("/{id}", get(async || "canary")));
    let handle = layer.handle();
    let app = Router::new().route("/{name}", get(async || "stable")).layer(layer);
    let server = Server::of_router(app);
    let operator = Arc::new(Operator::default());
    let callers: Vec<_> = Client::of_each_version(&server)
        .into_iter()
        .map(|(_, client)| {
            let operator = Arc::clone(&operator);
            tokio::spawn(async move {
                let mut calls = 0;
                while !operator.done.load(Ordering::Relaxed) {
                    let before = operator.steps.load(Ordering::SeqCst);
                    let answer = client.get("/7").await;
                    calls += 1;
                    let after = operator.steps.load(Ordering::SeqCst);
                    if before == after && before.is_multiple_of(2) {
                        assert_eq!(answer.channel(), Some(Operator::channel(before)));
                        assert_eq!(answer.body, Operator::channel(before).as_str());
                    }
                }
                calls
            })
        })
        .collect();
    let client = Client::http2(&server);
    let mut calls = 0;
    for _ in 0..200 {
        operator.change(&handle);
        // This call starts after the change returned.
        let step = operator.steps.load(Ordering::SeqCst);
        assert_eq!(client.get("/7").await.channel(), Some(Operator::channel(step)));
        assert_counts_add_up(&handle);
        calls += 1;
    }
    operator.done.store(true, Ordering::Relaxed);
    for caller in callers {
        calls += caller.await.unwrap();
    }
    let counts = final_counts(&handle).await.evidence;
    assert_eq!(counts.stable.success + counts.canary.success, calls);
    for epoch in handle.counts().epochs {
        let of_other_channel = match epoch.weight {
            Weight::FULL => epoch.counts.evidence.stable.picked,
            _ => epoch.counts.evidence.canary.picked,
        };
        assert_eq!(of_other_channel, 0, "a call is counted in the epoch in which it was assigned");
    }
}
