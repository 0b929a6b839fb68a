//! Two releases of the echo service behind one canary layer, at any mount point.

use std::{convert::Infallible, sync::Arc};

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    body::Body,
    service::Routes,
    transport::{Endpoint, Server},
};
use tower::{Layer as _, Service};
use tower_canary::{CanaryHandle, CanaryLayer, CanaryOptions, Channel, PerChannel, Weight};

use crate::{
    breakpoint::Breakpoint,
    echo::{Echo, EchoClient, EchoServer},
    task_server::TaskServer,
};

/// A running server with a canary.
#[derive(Debug)]
pub struct Deployment {
    server: TaskServer,
    handle: CanaryHandle,
    releases: Releases,
}

/// The position of the layer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "tests iterate over all variants")]
pub enum Mount {
    /// `Server::builder().layer(layer)`, around all of tonic's routes.
    Server,
    /// `add_service(layer.layer(echo))`, around one service.
    Service,
    /// `Router::layer`, around an axum router into which tonic's routes are merged.
    OnePort,
}

impl Mount {
    /// All mounts.
    pub const ALL: [Self; 3] = [Self::Server, Self::Service, Self::OnePort];

    /// Starts a server of `v1` with the canary `v2`, at weight zero.
    pub async fn start(self) -> Deployment {
        self.start_with(CanaryOptions::new()).await
    }

    /// Like [`start`](Self::start), with options.
    pub async fn start_with(self, options: CanaryOptions) -> Deployment {
        let releases = Releases::new();
        match self {
            Self::Server => {
                let canary = releases.routes(Channel::Canary);
                let layer = CanaryLayer::with_options("echo", canary, options);
                let stable = releases.routes(Channel::Stable);
                Deployment::new(releases, layer.handle(), serve(stable, layer).await)
            }
            Self::Service => {
                let canary = releases.echo(Channel::Canary);
                let layer = CanaryLayer::with_options("echo", canary, options);
                let echo = layer.layer(releases.echo(Channel::Stable));
                let router = Server::builder().add_service(echo);
                let server = TaskServer::start(|listener| async {
                    let incoming = TcpListenerStream::new(listener);
                    router
                        .serve_with_incoming(incoming)
                        .await
                        .expect("the server runs until it is dropped");
                });
                Deployment::new(releases, layer.handle(), server.await)
            }
            Self::OnePort => {
                let canary = releases.router(Channel::Canary);
                let layer = CanaryLayer::with_options("echo", canary, options);
                let handle = layer.handle();
                let app = releases.router(Channel::Stable).layer(layer);
                let server = TaskServer::start(|listener| async {
                    let app = app.into_make_service();
                    axum::serve(listener, app).await.expect("the server runs until it is dropped");
                });
                Deployment::new(releases, handle, server.await)
            }
        }
    }
}

impl Deployment {
    const fn new(releases: Releases, handle: CanaryHandle, server: TaskServer) -> Self {
        Self { server, handle, releases }
    }

    /// Returns the handle of the canary.
    #[must_use]
    pub const fn handle(&self) -> &CanaryHandle {
        &self.handle
    }

    /// Returns the server.
    #[must_use]
    pub const fn server(&self) -> &TaskServer {
        &self.server
    }

    /// Returns the breakpoint of the handlers of a channel.
    #[must_use]
    pub fn breakpoint(&self, channel: Channel) -> &Breakpoint {
        &self.releases.breakpoints[channel]
    }

    /// Returns a client with a new connection.
    pub async fn client(&self) -> EchoClient {
        client(&self.server).await
    }

    /// Sends all new calls to `channel`.
    pub fn send_all_to(&self, channel: Channel) {
        send_all_to(&self.handle, channel);
    }
}

/// The implementations of both releases, `v1` and `v2`.
#[derive(Debug)]
pub struct Releases {
    breakpoints: PerChannel<Arc<Breakpoint>>,
}

impl Releases {
    /// Creates both releases with new breakpoints.
    #[must_use]
    pub fn new() -> Self {
        Self { breakpoints: PerChannel::from_fn(|_| Arc::default()) }
    }

    /// Returns the service of a channel's release.
    #[must_use]
    pub fn echo(&self, channel: Channel) -> EchoServer {
        Echo::new(release(channel), Arc::clone(&self.breakpoints[channel])).into_server()
    }

    /// Returns the release as tonic routes.
    #[must_use]
    pub fn routes(&self, channel: Channel) -> Routes {
        Routes::new(self.echo(channel)).prepare()
    }

    /// Returns the release as an axum router that also serves HTTP. `/status/{code}` responds with
    /// that status.
    pub fn router(&self, channel: Channel) -> Router {
        let status = async |Path(code): Path<u16>| {
            StatusCode::from_u16(code).map_err(|_| StatusCode::BAD_REQUEST)
        };
        Router::new()
            .route("/hello", get(async move || release(channel)))
            .route("/status/{code}", get(status))
            .merge(self.routes(channel).into_axum_router())
    }
}

impl Default for Releases {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the name of a channel's release.
#[must_use]
pub const fn release(channel: Channel) -> &'static str {
    match channel {
        Channel::Stable => "v1",
        Channel::Canary => "v2",
    }
}

/// Serves tonic's routes behind a layer.
pub async fn serve<C>(stable: Routes, layer: CanaryLayer<C>) -> TaskServer
where
    C: Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    TaskServer::start(|listener| async {
        let server = Server::builder().layer(layer).add_routes(stable);
        let incoming = TcpListenerStream::new(listener);
        server.serve_with_incoming(incoming).await.expect("the server runs until it is dropped");
    })
    .await
}

/// Connects a new client to a server.
pub async fn client(server: &TaskServer) -> EchoClient {
    let endpoint = Endpoint::from_shared(server.url("")).expect("a valid URL");
    EchoClient::new(endpoint.connect().await.expect("the server accepts"))
}

/// Sends all new calls to `channel`.
pub fn send_all_to(handle: &CanaryHandle, channel: Channel) {
    let weight = match channel {
        Channel::Stable => Weight::ZERO,
        Channel::Canary => Weight::FULL,
    };
    handle.set_weight(weight).expect("not halted");
}
