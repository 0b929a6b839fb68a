//! Canaries with a fault, and callers who leave: stable's callers notice nothing.

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
use canary_tests::{connect_http1, gate::Gate, patience::soon};
use futures_util::future::BoxFuture;
use http_body::Frame;
use tower::Service;
use tower_canary::Weight;
use tower_canary_mirror::{Comparison, DropReason, MirrorLayer, MirrorOptions, Tokio};

use crate::app::{App, SHORT, get, settled};

#[derive(Clone)]
enum Sick {
    PanicsInPollReady,
    PanicsInCall,
    PanicsInPoll,
    PanicsInBody,
    PanicsInDrop,
    FailsInBody,
    IsNeverReady,
    Hangs,
    HangsInBody,
    SendsNothingForEver,
    WaitsAt(Arc<Gate>),
}

/// Panics without a word on stderr.
fn panic() -> ! {
    resume_unwind(Box::new("the canary is sick"))
}

struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        panic()
    }
}

impl Service<Request> for Sick {
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
        let body = |body: SickBody| -> Self::Future {
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
            Self::PanicsInBody => body(SickBody::Panics),
            Self::FailsInBody => body(SickBody::Fails),
            Self::HangsInBody => body(SickBody::Hangs),
            Self::SendsNothingForEver => body(SickBody::IsEndless),
            Self::WaitsAt(gate) => {
                let gate = Arc::clone(gate);
                Box::pin(async move {
                    gate.pass().await;
                    Ok("stable".into_response())
                })
            }
            Self::PanicsInPollReady | Self::IsNeverReady => unreachable!("it never was ready"),
        }
    }
}

enum SickBody {
    Panics,
    Fails,
    Hangs,
    /// Frames without a byte, one after the other.
    IsEndless,
}

impl http_body::Body for SickBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match *self {
            Self::Panics => panic(),
            Self::Fails => Poll::Ready(Some(Err("as the test wants it"))),
            Self::Hangs => Poll::Pending,
            Self::IsEndless => Poll::Ready(Some(Ok(Frame::data(Bytes::new())))),
        }
    }
}

fn stable() -> Router {
    Router::new().fallback(async || "stable")
}

#[tokio::test]
async fn a_canary_that_breaks_is_counted_and_harms_nobody() {
    for (sick, panicked) in [
        (Sick::PanicsInPollReady, 3),
        (Sick::PanicsInCall, 3),
        (Sick::PanicsInPoll, 3),
        (Sick::PanicsInBody, 3),
        (Sick::FailsInBody, 0),
    ] {
        let app = App::start(stable(), sick);
        for _ in 0..3 {
            assert_eq!(app.client.get("/").await.body, "stable");
        }
        let counts = app.settled().await;
        assert_eq!((counts.copied, counts.failed, counts.panicked), (3, 3, panicked), "{counts:?}");
    }
}

#[tokio::test]
async fn a_canary_that_hangs_is_given_up_after_the_time_limit() {
    for sick in [
        Sick::IsNeverReady,
        Sick::Hangs,
        Sick::HangsInBody,
        Sick::SendsNothingForEver,
        Sick::PanicsInDrop,
    ] {
        let app = App::start_with(stable(), sick, MirrorOptions::new().time_limit(SHORT));
        assert_eq!(app.client.get("/").await.body, "stable");
        let counts = app.settled().await;
        assert_eq!((counts.copied, counts.timed_out), (1, 1), "{counts:?}");
    }
}

#[tokio::test]
async fn a_flood_fills_the_queue_and_no_more_and_stable_answers_all_of_it() {
    let gate = Arc::new(Gate::new());
    let options = MirrorOptions::new().concurrency(2).queue(3);
    let app = App::start_with(stable(), Sick::WaitsAt(Arc::clone(&gate)), options);
    for _ in 0..50 {
        assert_eq!(soon(app.client.get("/")).await.body, "stable");
    }
    gate.arrival().await;
    gate.arrival().await;
    let counts = crate::app::balanced(&app.mirror);
    assert_eq!(counts.in_flight(), 2 + 3, "{counts:?}");
    assert_eq!(counts.dropped[DropReason::QueueFull], 45, "{counts:?}");
    (0..5).for_each(|_| gate.open());
    let counts = app.settled().await;
    assert_eq!((counts.copied, counts.matched), (50, 5), "{counts:?}");
    // Workers ended with the queue; the next call finds a new one.
    gate.open();
    app.client.get("/").await;
    assert_eq!(app.settled().await.matched, 6);
}

#[tokio::test]
async fn a_comparison_that_panics_has_not_compared() {
    let compare = |_: &_, _: &_, _: &_| -> Comparison { panic() };
    let app = App::start_with(stable(), stable(), MirrorOptions::new().compare(compare));
    assert_eq!(app.client.get("/").await.body, "stable");
    let counts = app.settled().await;
    assert_eq!((counts.copied, counts.not_compared), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn a_caller_who_leaves_takes_the_copy_along() {
    let gate = Arc::new(Gate::new());
    let waiting = Arc::clone(&gate);
    let handler = async move || {
        waiting.pass().await;
        "stable"
    };
    let app = App::start(Router::new().fallback(handler), Sick::PanicsInCall);
    let (mut sender, connection) = connect_http1(&app.server).await;
    let mut request = get("/");
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    let call = tokio::spawn(async move { sender.send_request(request).await.map(drop) });
    gate.arrival().await;
    call.abort();
    connection.abort();
    let counts = app.settled().await;
    assert_eq!((counts.copied, counts.dropped[DropReason::CallerLeft]), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn a_stable_that_panics_is_nothing_to_compare_with() {
    let handler = async || -> &'static str { panic() };
    let app = App::start(Router::new().fallback(handler), Sick::PanicsInCall);
    app.client.send(get("/")).await.unwrap_err();
    let counts = app.settled().await;
    assert_eq!((counts.copied, counts.dropped[DropReason::StableFailed]), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn a_stable_body_that_breaks_is_nothing_to_compare_with() {
    let handler = async || Response::new(Body::new(SickBody::Fails));
    let app = App::start(Router::new().fallback(handler), Sick::PanicsInCall);
    let _ = app.client.send(get("/")).await;
    let counts = app.settled().await;
    assert_eq!((counts.copied, counts.dropped[DropReason::StableFailed]), (1, 1), "{counts:?}");
}

/// Its threads are the mirror's alone, so that a canary that blocks them blocks nobody else.
#[tokio::test]
async fn a_mirror_can_have_a_runtime_of_its_own_and_outlive_it() {
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
    let options = MirrorOptions::new().share(Weight::FULL).concurrency(1);
    let runtime = Tokio::on(other.handle().clone());
    let layer = MirrorLayer::with_runtime("shop", canary, options, runtime);
    let app = App::of_layer(stable(), layer);
    for _ in 0..5 {
        assert_eq!(soon(app.client.get("/block")).await.body, "stable");
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
