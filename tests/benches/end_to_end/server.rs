//! The servers. Each is a process with one thread.

use std::{
    hint::black_box,
    io::{self, Read as _},
    process, thread,
};

use anyhow::{Result, bail};
use axum::{Router, ServiceExt, extract::Request, routing::get};
use canary_tests::{deployment::release, echo::Echo};
use tokio::{net::TcpListener, runtime::Builder};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::Routes, transport};
use tower::Layer;
use tower_canary::{CanaryLayer, CanaryOptions, Channel, Tags, Weight, axum::AxumBody};

/// Runs the server `kind` until standard input ends.
pub(crate) fn serve(kind: &str) -> Result<()> {
    thread::spawn(|| {
        while let Ok(1..) = io::stdin().read(&mut [0]) {
            begin_batch();
            println!("{MARK}");
        }
        process::exit(0);
    });
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        match kind {
            "http v1" => http(listener, version(Channel::Stable)).await,
            "http v2" => http(listener, version(Channel::Canary)).await,
            "http header" => split_http(listener, Tags::header_only()).await,
            "http default" => split_http(listener, Tags::default()).await,
            "http routes" => http(listener, split_routes()).await,
            "grpc v1" => grpc(listener, routes(Channel::Stable)).await,
            "grpc v2" => grpc(listener, routes(Channel::Canary)).await,
            "grpc header" => split_grpc(listener, Tags::header_only()).await,
            "grpc default" => split_grpc(listener, Tags::default()).await,
            _ => bail!("unknown server {kind:?}"),
        }
    })
}

/// Tells callgrind, which knows the name of this function, that a batch of calls begins.
#[inline(never)]
fn begin_batch() {
    black_box(());
}

fn version(channel: Channel) -> Router {
    Router::new().route("/hello", get(async move || release(channel)))
}

/// Splits after stable's router has matched.
fn split_routes() -> Router {
    version(Channel::Stable).layer(layer(version(Channel::Canary), Tags::header_only()))
}

fn routes(channel: Channel) -> Routes {
    Routes::new(Echo::new(release(channel), Default::default()).into_server()).prepare()
}

fn layer<C: 'static>(canary: C, tags: Tags) -> CanaryLayer<C> {
    let layer = CanaryLayer::with_options("bench", canary, CanaryOptions::new().tags(tags));
    layer.handle().set_weight(Weight::from_percent(5)).expect("not halted");
    layer
}

async fn http(listener: TcpListener, router: Router) -> Result<()> {
    Ok(axum::serve(listener, router).await?)
}

/// Splits in front of the routers, which is the cheapest way.
async fn split_http(listener: TcpListener, tags: Tags) -> Result<()> {
    let stable = version(Channel::Stable).with_state(());
    let app = AxumBody::new(layer(version(Channel::Canary), tags).layer(stable));
    Ok(axum::serve(listener, ServiceExt::<Request>::into_make_service(app)).await?)
}

async fn grpc(listener: TcpListener, routes: Routes) -> Result<()> {
    let incoming = TcpListenerStream::new(listener);
    let server = transport::Server::builder().add_routes(routes);
    Ok(server.serve_with_incoming(incoming).await?)
}

async fn split_grpc(listener: TcpListener, tags: Tags) -> Result<()> {
    let incoming = TcpListenerStream::new(listener);
    let layer = layer(routes(Channel::Canary), tags);
    let server = transport::Server::builder().layer(layer).add_routes(routes(Channel::Stable));
    Ok(server.serve_with_incoming(incoming).await?)
}

/// The name of [`begin_batch`].
pub(crate) const MARK: &str = "begin_batch";
