//! gRPC calls of tonic clients.

use std::sync::Arc;

use canary_tests::{
    breakpoint::Breakpoint,
    deployment::client,
    echo::{
        Echo, EchoClient,
        proto::{Ask, End},
    },
    task_server::TaskServer,
};
use futures_util::{StreamExt, stream::iter};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::Routes, transport::Server};
use tower_canary::{Weight, select::Condition};
use tower_canary_mirror::{MirrorCounts, MirrorHandle, MirrorLayer, MirrorOptions};

use crate::app::settled;

struct MirroredEcho {
    _serving: TaskServer,
    client: EchoClient,
    mirror: MirrorHandle,
}

impl MirroredEcho {
    async fn start(canary: &'static str) -> Self {
        let routes = |release| {
            let echo = Echo::new(release, Arc::new(Breakpoint::new()));
            Routes::new(echo.into_server()).prepare()
        };
        let echo = Condition::path_prefix("/canary.tests.Echo");
        let options = MirrorOptions::new().share(Weight::FULL).only(echo);
        let layer = MirrorLayer::with_options("echo", routes(canary), options);
        let mirror = layer.handle();
        let serving = TaskServer::start(async move |listener| {
            let server = Server::builder().layer(layer).add_routes(routes("v1"));
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        let serving = serving.await;
        Self { client: client(&serving).await, _serving: serving, mirror }
    }

    /// Makes a unary, a client-streaming, a server-streaming and a bidirectional call.
    async fn all_kinds(&mut self) {
        let ask = Ask { text: "hello".to_owned(), answers: 3, ..Ask::default() };
        let asks = || iter(vec![ask.clone(); 2]);
        self.client.unary(ask.clone()).await.unwrap();
        self.client.collect(asks()).await.unwrap();
        let answers = self.client.expand(ask.clone()).await.unwrap().into_inner();
        assert_eq!(answers.count().await, 3);
        let answers = self.client.chat(asks()).await.unwrap().into_inner();
        assert_eq!(answers.count().await, 6);
    }

    async fn counts(&self) -> MirrorCounts {
        settled(&self.mirror).await
    }

    fn fields(&self) -> Vec<String> {
        let mut fields: Vec<_> =
            self.mirror.fields().into_iter().map(|field| field.field).collect();
        fields.sort();
        fields
    }
}

#[tokio::test]
async fn calls_of_every_kind_are_mirrored_and_match() {
    let mut mirrored = MirroredEcho::start("v1").await;
    mirrored.all_kinds().await;
    let counts = mirrored.counts().await;
    assert_eq!((counts.mirrored, counts.matched), (4, 4), "{counts:?} {:?}", mirrored.fields());
}

#[tokio::test]
async fn different_messages_are_found_in_calls_of_every_kind() {
    let mut mirrored = MirroredEcho::start("v2").await;
    mirrored.all_kinds().await;
    let counts = mirrored.counts().await;
    assert_eq!((counts.mirrored, counts.mismatched), (4, 4), "{counts:?}");
    assert_eq!(mirrored.fields(), ["message/*"]);
}

/// The first status is in a response without a body, the second in trailers after two messages.
#[tokio::test]
async fn the_status_is_compared_in_the_head_and_in_the_trailers() {
    let mut mirrored = MirroredEcho::start("v1").await;
    let fail = |answers| Ask { end: End::Fail.into(), code: 9, answers, ..Ask::default() };
    mirrored.client.unary(fail(0)).await.unwrap_err();
    let mut answers = mirrored.client.expand(fail(2)).await.unwrap().into_inner();
    while let Some(Ok(_)) = answers.next().await {}
    let counts = mirrored.counts().await;
    assert_eq!((counts.mirrored, counts.matched), (2, 2), "{counts:?} {:?}", mirrored.fields());
}

#[tokio::test]
async fn a_canary_without_the_service_differs_in_the_status() {
    let echo = Echo::new("v1", Arc::new(Breakpoint::new())).into_server();
    let options = MirrorOptions::new().share(Weight::FULL).only(Condition::any());
    let layer = MirrorLayer::with_options("echo", Routes::default(), options);
    let mirror = layer.handle();
    let serving = TaskServer::start(async move |listener| {
        let server = Server::builder().layer(layer).add_service(echo);
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    let serving = serving.await;
    client(&serving).await.unary(Ask::default()).await.unwrap();
    let counts = settled(&mirror).await;
    assert_eq!((counts.mirrored, counts.mismatched), (1, 1), "{counts:?}");
    let status = mirror.differences().into_iter().find(|found| found.field == "grpc-status");
    let status = status.unwrap();
    assert_eq!((status.stable.as_str(), status.canary.as_str()), ("0", "12"));
}
