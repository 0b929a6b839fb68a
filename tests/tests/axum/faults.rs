//! A faulty canary over real connections does not affect the calls of stable.

use std::{
    convert::Infallible,
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    BoxError, Router, ServiceExt,
    body::{Body, Bytes},
    error_handling::HandleErrorLayer,
    extract::Request,
    response::Response,
    routing::any,
};
use canary_tests::{Client, Server, channel_of, final_counts, timeout::TIMEOUT};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, mpsc};
use tower::{Layer, Service, ServiceBuilder, limit::GlobalConcurrencyLimitLayer, make::Shared};
use tower_canary::{
    CanaryHandle, CanaryLayer, Channel, Weight,
    axum::{AxumBody, RouterExt},
};

/// A canary with a fault.
#[derive(Clone)]
struct FaultyService(Fault);

#[derive(Clone)]
enum Fault {
    PanicsInPollReady,
    PanicsInCall,
    PanicsInPoll,
    PanicsInBody,
    IsNeverReady,
    /// Never responds, and reports each call to the channel.
    Hangs(mpsc::UnboundedSender<()>),
}

/// Panics without output on stderr.
fn panic() -> ! {
    resume_unwind(Box::new("intentional test panic"))
}

impl Service<Request> for FaultyService {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self.0 {
            Fault::IsNeverReady => Poll::Pending,
            Fault::PanicsInPollReady => panic(),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, _: Request) -> Self::Future {
        match &self.0 {
            Fault::PanicsInCall => panic(),
            Fault::PanicsInPoll => Box::pin(async { panic() }),
            Fault::PanicsInBody => {
                Box::pin(async { Ok(Response::new(Body::new(PanickingBody(1)))) })
            }
            Fault::Hangs(entered) => {
                entered.send(()).unwrap();
                Box::pin(std::future::pending())
            }
            Fault::IsNeverReady | Fault::PanicsInPollReady => {
                unreachable!("the service is never ready")
            }
        }
    }
}

/// A body that panics after some frames.
struct PanickingBody(u8);

impl http_body::Body for PanickingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else { panic() };
        self.0 = left;
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(b"half")))))
    }
}

/// Stable, with a plain response and a stream that the test feeds.
fn stable(feed: mpsc::UnboundedReceiver<&'static str>) -> Router {
    let feed = Arc::new(std::sync::Mutex::new(Some(feed)));
    let stream = any(async move || {
        let feed = feed.lock().unwrap().take().unwrap();
        let feed = tokio_stream::wrappers::UnboundedReceiverStream::new(feed);
        Body::from_stream(feed.map(Ok::<_, Infallible>))
    });
    Router::new().route("/stream", stream).fallback(async || "stable")
}

fn half() -> Weight {
    Weight::from_percent(50)
}

fn get(path: &str) -> Request {
    Request::get(path).body(Body::empty()).unwrap()
}

/// The result of a call for its caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CallResult {
    Complete(StatusCode, Option<Channel>),
    /// An error in the body, or instead of the head if the HTTP/2 reset arrives before it.
    Broken,
}

const fn ok(channel: Channel) -> CallResult {
    CallResult::Complete(StatusCode::OK, Some(channel))
}

async fn ask(client: &Client) -> CallResult {
    let Ok(response) = client.send(get("/")).await else { return CallResult::Broken };
    let (head, body) = response.into_parts();
    match body.collect().await {
        Ok(_) => CallResult::Complete(head.status, channel_of(&head.headers)),
        Err(_) => CallResult::Broken,
    }
}

type Mount = fn(Router, CanaryLayer<FaultyService>) -> Server;

const MOUNTS: [(&str, Mount); 3] = [
    ("Router::layer", |stable, layer| Server::of_router(stable.layer(layer))),
    ("RouterExt::canary", |stable, layer| Server::of_router(stable.canary(layer))),
    ("axum::serve", |stable, layer| {
        let app = AxumBody::new(layer.layer(stable));
        Server::of_maker(ServiceExt::<Request>::into_make_service(app))
    }),
];

/// Makes calls over one HTTP/2 connection that has an open stream of stable.
async fn call_beside_an_open_stream(
    mount: Mount,
    fault: Fault,
    weight: Weight,
) -> (Vec<CallResult>, CanaryHandle) {
    let (feed, fed) = mpsc::unbounded_channel();
    let layer = CanaryLayer::new("faulty", FaultyService(fault));
    let handle = layer.handle();
    let server = mount(stable(fed), layer);
    let client = Client::http2(&server);
    let stream = client.send(get("/stream")).await.unwrap();
    assert_eq!(channel_of(stream.headers()), Some(Channel::Stable));
    assert_eq!(stream.version(), http::Version::HTTP_2);
    let mut stream = stream.into_body();
    feed.send("before ").unwrap();
    assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), "before ");

    handle.set_weight(weight).unwrap();
    let calls: FuturesUnordered<_> = (0..CALLS).map(|_| ask(&client)).collect();
    let seen = calls.collect().await;

    feed.send("after").unwrap();
    drop(feed);
    let rest = stream.collect().await.expect("the connection and the stream of stable survive");
    assert_eq!(rest.to_bytes(), "after");
    (seen, handle)
}

const CALLS: usize = 64;

fn count<T: PartialEq>(all: &[T], one: &T) -> u64 {
    all.iter().filter(|each| *each == one).count() as u64
}

#[tokio::test]
async fn a_canary_that_panics_fails_only_its_own_calls_and_keeps_the_connection() {
    let error = CallResult::Complete(StatusCode::INTERNAL_SERVER_ERROR, Some(Channel::Canary));
    for (name, mount) in MOUNTS {
        for (fault, place, expected) in [
            (Fault::PanicsInCall, "call", error),
            (Fault::PanicsInPoll, "poll", error),
            (Fault::PanicsInBody, "body", CallResult::Broken),
        ] {
            for weight in [half(), Weight::FULL] {
                let what = format!("{name}: in {place} at {weight}");
                let (seen, handle) = call_beside_an_open_stream(mount, fault.clone(), weight).await;
                let counts = final_counts(&handle).await;
                let (stable, canary) = (&counts.evidence.stable, &counts.evidence.canary);
                assert_eq!(count(&seen, &ok(Channel::Stable)) + 1, stable.picked, "{what}");
                assert_eq!(stable.success, stable.picked, "{what}");
                assert_eq!(count(&seen, &expected), canary.picked, "{what}: {seen:?}");
                assert!(canary.picked > 0, "{what}");
                assert_eq!(stable.picked + canary.picked, CALLS as u64 + 1, "{what}");
                assert_eq!(
                    (canary.failure, canary.panicked),
                    (canary.picked, canary.picked),
                    "{what}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_panic_of_a_handler_becomes_status_500() {
    let layer =
        CanaryLayer::new("faulty", Router::new().route("/", any(async || -> &str { panic() })));
    let handle = layer.handle();
    handle.promote().unwrap();
    let server = Server::of_router(Router::new().route("/", any(async || "stable")).layer(layer));
    for (version, client) in Client::of_each_version(&server) {
        for _ in 0..2 {
            let answer = client.get("/").await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{version}");
            assert_eq!(answer.channel(), Some(Channel::Canary), "{version}");
        }
    }
    let canary = final_counts(&handle).await.evidence.canary;
    assert_eq!((canary.failure, canary.panicked), (4, 4));
}

#[tokio::test]
async fn a_panic_of_stable_is_stables_failure() {
    let stable = Router::new().route("/", any(async || -> &str { panic() }));
    let layer = CanaryLayer::new("well", Router::new().route("/", any(async || "canary")));
    let handle = layer.handle();
    let server = Server::of_router(stable.layer(layer));
    // The connection breaks, as it does without a canary.
    Client::http2(&server).send(get("/")).await.unwrap_err();
    let counts = final_counts(&handle).await.evidence;
    assert_eq!((counts.stable.failure, counts.stable.panicked), (1, 1));
    assert_eq!(counts.canary.picked, 0);
}

#[tokio::test]
async fn a_canary_that_is_never_ready_spills_to_stable() {
    for (name, mount) in MOUNTS {
        for fault in [Fault::IsNeverReady, Fault::PanicsInPollReady] {
            let (seen, handle) = call_beside_an_open_stream(mount, fault, half()).await;
            assert_eq!(count(&seen, &ok(Channel::Stable)), CALLS as u64, "{name}: {seen:?}");
            let counts = final_counts(&handle).await;
            let canary = &counts.evidence.canary;
            assert!(canary.spilled > 0, "{name}");
            assert_eq!(canary.spilled, canary.picked, "{name}");
            assert_eq!(counts.excluded.stable.success, canary.spilled, "{name}");
            assert_eq!(counts.evidence.stable.success + canary.picked, CALLS as u64 + 1, "{name}");
        }
    }
}

/// A service that always fails readiness.
#[derive(Clone)]
struct Unready;

impl Service<Request> for Unready {
    type Response = Response;
    type Error = BoxError;
    type Future = std::future::Pending<Result<Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("the canary is not ready".into()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        unreachable!("the service is never ready")
    }
}

#[tokio::test]
async fn a_canary_that_fails_readiness_spills_to_stable() {
    let layer = CanaryLayer::new("unready", Unready);
    let handle = layer.handle();
    let stable = Router::new().fallback(async || "stable");
    let app = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async |error: BoxError| {
            (StatusCode::BAD_GATEWAY, error.to_string())
        }))
        .layer(layer)
        .service(
            ServiceBuilder::new()
                .map_err(|error: Infallible| -> BoxError { match error {} })
                .service(stable),
        );
    let server = Server::of_maker(Shared::new(app));
    let client = Client::http2(&server);

    handle.set_weight(half()).unwrap();
    for _ in 0..CALLS {
        let answer = client.get("/").await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "stable"));
    }
    let counts = final_counts(&handle).await;
    assert!(counts.evidence.canary.spilled > 0);
    assert_eq!(counts.evidence.canary.spilled, counts.evidence.canary.picked);

    // A promoted canary cannot spill, so its errors reach the caller.
    handle.promote().unwrap();
    let answer = client.get("/").await;
    assert_eq!(
        (answer.status, &*answer.body),
        (StatusCode::BAD_GATEWAY, "the canary is not ready")
    );
}

#[tokio::test]
async fn a_canary_that_hangs_delays_no_call_of_stable() {
    for (name, mount) in MOUNTS {
        let (entered, mut hung) = mpsc::unbounded_channel();
        let layer = CanaryLayer::new("hanging", FaultyService(Fault::Hangs(entered)));
        let handle = layer.handle();
        handle.set_weight(half()).unwrap();
        let server = mount(stable(mpsc::unbounded_channel().1), layer);
        let client = Client::http2(&server);
        let mut calls: FuturesUnordered<_> = (0..CALLS).map(|_| ask(&client)).collect();

        let (mut answered, mut hanging) = (0, 0);
        while answered + hanging < CALLS as u64 {
            tokio::select! {
                Some(seen) = calls.next() => {
                    assert_eq!(seen, ok(Channel::Stable), "{name}");
                    answered += 1;
                }
                Some(()) = hung.recv() => hanging += 1,
            }
        }
        assert!(hanging > 0, "{name}");
        assert_eq!(handle.open(Channel::Canary), hanging, "{name}");

        // The callers cancel, or the connection closes.
        drop(calls);
        let counts = final_counts(&handle).await.evidence;
        assert_eq!((counts.stable.success, counts.canary.cancelled), (answered, hanging), "{name}");
    }
}

#[tokio::test]
async fn concurrency_limits_of_both_channels_lose_no_permit() {
    let limits = [2, 2].map(|permits| Arc::new(Semaphore::new(permits)));
    let [stable_limit, canary_limit] = &limits;
    let limit = |semaphore: &Arc<Semaphore>| {
        GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(semaphore))
    };
    let work = |name: &'static str| {
        Router::new()
            .route(
                "/",
                any(async move || {
                    tokio::task::yield_now().await;
                    name
                }),
            )
            .route(
                "/panic",
                any(async move || {
                    tokio::task::yield_now().await;
                    if name == "canary" {
                        panic()
                    }
                    name
                }),
            )
            .route("/hang", any(async || std::future::pending::<()>().await))
    };
    let layer = CanaryLayer::new("limited", limit(canary_limit).layer(work("canary")));
    let handle = layer.handle();
    handle.set_weight(half()).unwrap();
    let app = AxumBody::new(layer.layer(limit(stable_limit).layer(work("stable"))));
    let server = Server::of_maker(ServiceExt::<Request>::into_make_service(app));
    let client = Client::http1(&server);

    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (client, handle) = (client.clone(), handle.clone());
            tokio::spawn(async move {
                for call in 0..40 {
                    match (task + call) % 8 {
                        // Changes the weight while calls wait and run.
                        0 => handle
                            .set_weight([Weight::ZERO, half(), Weight::FULL][call % 3])
                            .unwrap(),
                        1 => drop(client.send(get("/panic")).await.unwrap()),
                        2 => {
                            // Cancels the call soon, often while it waits for a permit.
                            let call = client.send(get("/hang"));
                            let delay = async {
                                for _ in 0..20 {
                                    tokio::task::yield_now().await;
                                }
                            };
                            tokio::select! { _ = call => unreachable!(), () = delay => {} }
                        }
                        _ => {
                            let seen = ask(&client).await;
                            assert!(
                                matches!(seen, CallResult::Complete(StatusCode::OK, _)),
                                "{seen:?}"
                            );
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    final_counts(&handle).await;
    for (channel, limit) in Channel::ALL.into_iter().zip(&limits) {
        // The task that dropped the last service may not have dropped its permit yet.
        let all = tokio::time::timeout(TIMEOUT, limit.acquire_many(2));
        drop(all.await.unwrap_or_else(|_| panic!("{channel} lost a permit")).unwrap());
        assert_eq!(limit.available_permits(), 2, "{channel}");
    }
}
