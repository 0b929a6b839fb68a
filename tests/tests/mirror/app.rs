//! A server with a mirror.

use std::time::Duration;

use axum::{Router, body::Body, extract::Request, response::Response};
use canary_tests::{Client, Server, timeout::complete};
use tower::Service;
use tower_canary::Weight;
use tower_canary_mirror::{MirrorCounts, MirrorHandle, MirrorLayer, MirrorOptions};

/// A router with a mirror, on its own port.
pub(crate) struct App {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) mirror: MirrorHandle,
}

impl App {
    /// Mirrors every eligible request.
    pub(crate) fn start<C>(stable: Router, canary: C) -> Self
    where
        C: Service<Request, Response = Response, Future: Send> + Clone + Send + 'static,
    {
        Self::start_with(stable, canary, MirrorOptions::new())
    }

    pub(crate) fn start_with<C>(stable: Router, canary: C, options: MirrorOptions) -> Self
    where
        C: Service<Request, Response = Response, Future: Send> + Clone + Send + 'static,
    {
        let options = options.share(Weight::FULL);
        Self::of_layer(stable, MirrorLayer::with_options("shop", canary, options))
    }

    pub(crate) fn of_layer<C>(stable: Router, layer: MirrorLayer<C>) -> Self
    where
        C: Service<Request, Response = Response, Future: Send> + Clone + Send + 'static,
    {
        let mirror = layer.handle();
        let server = Server::of_router(stable.layer(layer));
        Self { client: Client::http1(&server), server, mirror }
    }

    /// Waits until no request is in flight.
    pub(crate) async fn settled(&self) -> MirrorCounts {
        settled(&self.mirror).await
    }
}

pub(crate) async fn settled(mirror: &MirrorHandle) -> MirrorCounts {
    let settled = async {
        loop {
            let counts = balanced(mirror);
            if counts.in_flight() == 0 && mirror.memory_used() == 0 {
                return counts;
            }
            tokio::task::yield_now().await;
        }
    };
    complete(settled).await
}

/// Returns the counts and checks their invariants.
pub(crate) fn balanced(mirror: &MirrorHandle) -> MirrorCounts {
    let counts = mirror.counts();
    let MirrorCounts { matched, mismatched, not_compared, failed, timed_out, dropped, .. } =
        &counts;
    let ended = matched + mismatched + not_compared + failed + timed_out + dropped.total();
    assert_eq!(counts.mirrored, ended + counts.in_flight(), "{counts:?}");
    assert!(counts.matched_with_noise <= counts.matched, "{counts:?}");
    assert!(counts.panicked <= counts.failed, "{counts:?}");
    counts
}

pub(crate) fn get(path: &str) -> Request {
    Request::get(path).body(Body::empty()).unwrap()
}

pub(crate) fn post(path: &str, body: impl Into<Body>) -> Request {
    Request::post(path).body(body.into()).unwrap()
}

/// Long enough for a busy machine to respond, and short enough for a test to wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(300);
