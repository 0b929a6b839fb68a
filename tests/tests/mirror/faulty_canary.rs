//! Faulty canaries, and callers who leave. Other callers of stable are not affected.

use std::{
    convert::Infallible,
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::{IntoResponse, Response},
    routing::get as get_route,
};
use canary_tests::{breakpoint::Breakpoint, connect_http1, timeout::complete};
use futures_util::future::BoxFuture;
use http_body::Frame;
use tower::Service;
use tower_canary::Weight;
use tower_canary_mirror::{Comparison, DropReason, MirrorLayer, MirrorOptions};

use crate::app::{App, SHORT, get, settled};

#[derive(Clone)]
enum FaultyCanary {
    PanicsInPollReady,
    PanicsInCall,
    PanicsInPoll,
    PanicsInBody,
    PanicsInDrop,
    FailsInBody,
    IsNeverReady,
    Hangs,
    HangsInBody,
    SendsEmptyFrames,
    WaitsAt(Arc<Breakpoint>),
}

/// Panics without output on stderr.
fn panic() -> ! {
    resume_unwind(Box::new("intentional test panic"))
}

struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        panic()
    }
}

impl Service<Request> for FaultyCanary {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self {
            Self::IsNeverReady => Poll::Pending,
            Self::PanicsInPollReady => panic(),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, _: Request) -> Self::Future {
        let body = |body: FaultyBody| -> Self::Future {
            Box::pin(async { Ok(Response::new(Body::new(body))) })
        };
        match self {
            Self::PanicsInCall => panic(),
            Self::PanicsInPoll => Box::pin(async { panic() }),
            Self::PanicsInDrop => Box::pin(async {
                let _guard = PanicOnDrop;
                std::future::pending().await
            }),
            Self::Hangs => Box::pin(std::future::pending()),
            Self::PanicsInBody => body(FaultyBody::Panics),
            Self::FailsInBody => body(FaultyBody::Fails),
            Self::HangsInBody => body(FaultyBody::Hangs),
            Self::SendsEmptyFrames => body(FaultyBody::IsEndless),
            Self::WaitsAt(breakpoint) => {
                let breakpoint = Arc::clone(breakpoint);
                Box::pin(async move {
                    breakpoint.stop().await;
                    Ok("stable".into_response())
                })
            }
            Self::PanicsInPollReady | Self::IsNeverReady => unreachable!("it is never ready"),
        }
    }
}

enum FaultyBody {
    Panics,
    Fails,
    Hangs,
    /// Empty frames without end.
    IsEndless,
}

impl http_body::Body for FaultyBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match *self {
            Self::Panics => panic(),
            Self::Fails => Poll::Ready(Some(Err("intentional test error"))),
            Self::Hangs => Poll::Pending,
            Self::IsEndless => Poll::Ready(Some(Ok(Frame::data(Bytes::new())))),
        }
    }
}

fn stable() -> Router {
    Router::new().fallback(async || "stable")
}

#[tokio::test]
async fn a_canary_that_fails_or_panics_counts_as_failed() {
    for (canary, panicked) in [
        (FaultyCanary::PanicsInPollReady, 3),
        (FaultyCanary::PanicsInCall, 3),
        (FaultyCanary::PanicsInPoll, 3),
        (FaultyCanary::PanicsInBody, 3),
        (FaultyCanary::FailsInBody, 0),
    ] {
        let app = App::start(stable(), canary);
        for _ in 0..3 {
            assert_eq!(app.client.get("/").await.body, "stable");
        }
        let counts = app.settled().await;
        assert_eq!(
            (counts.mirrored, counts.failed, counts.panicked),
            (3, 3, panicked),
            "{counts:?}"
        );
    }
}

#[tokio::test]
async fn a_canary_that_hangs_counts_as_timed_out() {
    for canary in [
        FaultyCanary::IsNeverReady,
        FaultyCanary::Hangs,
        FaultyCanary::HangsInBody,
        FaultyCanary::SendsEmptyFrames,
        FaultyCanary::PanicsInDrop,
    ] {
        let app = App::start_with(stable(), canary, MirrorOptions::new().time_limit(SHORT));
        assert_eq!(app.client.get("/").await.body, "stable");
        let counts = app.settled().await;
        assert_eq!((counts.mirrored, counts.timed_out), (1, 1), "{counts:?}");
    }
}

#[tokio::test]
async fn requests_beyond_the_queue_are_dropped_and_stable_serves_all_of_them() {
    let breakpoint = Arc::new(Breakpoint::new());
    let options = MirrorOptions::new().concurrency_limit(2).queue_limit(3);
    let app = App::start_with(stable(), FaultyCanary::WaitsAt(Arc::clone(&breakpoint)), options);
    for _ in 0..50 {
        assert_eq!(complete(app.client.get("/")).await.body, "stable");
    }
    breakpoint.wait_for_arrival().await;
    breakpoint.wait_for_arrival().await;
    let counts = crate::app::balanced(&app.mirror);
    assert_eq!(counts.in_flight(), 2 + 3, "{counts:?}");
    assert_eq!(counts.dropped[DropReason::QueueFull], 45, "{counts:?}");
    (0..5).for_each(|_| breakpoint.resume());
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.matched), (50, 5), "{counts:?}");
    // The mirror recovers once the queue is empty.
    breakpoint.resume();
    app.client.get("/").await;
    assert_eq!(app.settled().await.matched, 6);
}

#[tokio::test]
async fn a_comparison_that_panics_counts_as_not_compared() {
    let compare = |_: &_, _: &_, _: &_| -> Comparison { panic() };
    let app = App::start_with(stable(), stable(), MirrorOptions::new().compare(compare));
    assert_eq!(app.client.get("/").await.body, "stable");
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.not_compared), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn a_request_is_dropped_if_the_caller_leaves_early() {
    let breakpoint = Arc::new(Breakpoint::new());
    let waiting = Arc::clone(&breakpoint);
    let handler = async move || {
        waiting.stop().await;
        "stable"
    };
    let app = App::start(Router::new().fallback(handler), FaultyCanary::PanicsInCall);
    let (mut sender, connection) = connect_http1(&app.server).await;
    let mut request = get("/");
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    let call = tokio::spawn(async move { sender.send_request(request).await.map(drop) });
    breakpoint.wait_for_arrival().await;
    call.abort();
    connection.abort();
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.dropped[DropReason::CallerLeft]), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn a_request_is_dropped_if_stable_panics() {
    let handler = async || -> &'static str { panic() };
    let app = App::start(Router::new().fallback(handler), FaultyCanary::PanicsInCall);
    app.client.send(get("/")).await.unwrap_err();
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.dropped[DropReason::StableFailed]), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn a_request_is_dropped_if_the_body_of_stable_fails() {
    let handler = async || Response::new(Body::new(FaultyBody::Fails));
    let app = App::start(Router::new().fallback(handler), FaultyCanary::PanicsInCall);
    let _ = app.client.send(get("/")).await;
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.dropped[DropReason::StableFailed]), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn a_canary_can_block_its_own_runtime_and_the_mirror_outlives_it() {
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let other = other.unwrap();
    let (unblock, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(std::sync::Mutex::new(blocked));
    let canary = Router::new().route(
        "/block",
        get_route(async move || -> &'static str {
            let _ = blocked.lock().unwrap().recv();
            std::future::pending().await
        }),
    );
    let options = MirrorOptions::new().share(Weight::FULL).concurrency_limit(1);
    let options = options.runtime(other.handle().clone());
    let layer = MirrorLayer::with_options("shop", canary, options);
    let app = App::of_layer(stable(), layer);
    for _ in 0..5 {
        assert_eq!(complete(app.client.get("/block")).await.body, "stable");
    }
    assert_eq!(app.mirror.counts().in_flight(), 5);
    other.shutdown_background();
    drop(unblock);
    let counts = settled(&app.mirror).await;
    assert_eq!(counts.dropped[DropReason::Runtime], 5, "{counts:?}");
    assert_eq!(app.client.get("/block").await.body, "stable");
    let counts = settled(&app.mirror).await;
    assert_eq!(counts.dropped[DropReason::Runtime], 6, "{counts:?}");
}
