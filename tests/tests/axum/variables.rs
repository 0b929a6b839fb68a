//! Handlers of axum and tonic see the variables of their channel.

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use canary_tests::{
    Client, Server,
    breakpoint::Breakpoint,
    echo::{Echo, EchoClient, EchoServer, proto::Ask},
    task_server::TaskServer,
};
use http::StatusCode;
use serde::Deserialize;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Status,
    service::Routes,
    transport::{Endpoint, Server as TonicServer},
};
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, TypedVariables, Variables, Weight,
    axum::RouterExt,
};

#[derive(Deserialize)]
struct Settings {
    backend: String,
}

fn options() -> CanaryOptions {
    let stage = Variables::new().with("backend", "one").with("limit", 20);
    CanaryOptions::new()
        .variables(stage, Variables::new().with("backend", "two"))
        .typed_variables::<Settings>()
}

/// Asserts what handlers see before and on the canary, after a change, a promotion and a rollback.
async fn assert_backends<F: Future<Output = String>>(
    canary: &CanaryHandle,
    backend: impl Fn() -> F,
) {
    assert_eq!(backend().await, "one");
    canary.set_weight(Weight::FULL).unwrap();
    assert_eq!(backend().await, "two");
    canary.change_variables(|_, overrides| overrides.set("backend", "three")).unwrap();
    assert_eq!(backend().await, "three");
    canary.promote().unwrap();
    assert_eq!(backend().await, "three");
    canary.roll_back();
    assert_eq!(backend().await, "one");
    canary.change_variables(|stage, _| stage.set("backend", "four")).unwrap();
    assert_eq!(backend().await, "four");
}

#[tokio::test]
async fn handlers_of_axum_extract_the_variables_of_their_channel() {
    let mounts: [fn(Router, CanaryLayer<Router>) -> Router; 2] =
        [|app, layer| app.layer(layer), |app, layer| app.canary(layer)];
    for mount in mounts {
        let app = || {
            Router::new()
                .route("/all", get(async |variables: Variables| Json(variables)))
                .route(
                    "/typed",
                    get(async |settings: TypedVariables<Settings>| settings.backend.clone()),
                )
                .route("/other", get(async |_: TypedVariables<String>| "never"))
                .route("/healthz", get(async |_: Variables| "never"))
        };
        let layer = CanaryLayer::with_options("shop", app(), options());
        let canary = layer.handle();
        let server = Server::of_router(mount(app(), layer));
        let client = &Client::http1(&server);
        let all = client.get("/all").await;
        assert_eq!(all.body, r#"{"backend":"one","limit":20}"#);
        for path in ["/other", "/healthz"] {
            assert_eq!(client.get(path).await.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        }
        assert_backends(&canary, || async { client.get("/typed").await.body }).await;
    }
}

#[tokio::test]
async fn tonic_services_find_the_variables_in_the_extensions() {
    let routes = |release| {
        let echo = Echo::new(release, Arc::new(Breakpoint::default()));
        let interceptor = |mut request: Request<()>| {
            let assignment = request.extensions().get::<Assignment>();
            let assignment = assignment.ok_or_else(|| Status::internal("not assigned"))?;
            let backend = assignment.variables().typed::<Settings>().unwrap().backend.parse();
            request.metadata_mut().insert("x-ask", backend.unwrap());
            Ok(request)
        };
        Routes::new(EchoServer::with_interceptor(echo, interceptor)).prepare()
    };
    let layer = CanaryLayer::with_options("shop", routes("v2"), options());
    let canary = layer.handle();
    let server = TonicServer::builder().layer(layer).add_routes(routes("v1"));
    let server = TaskServer::start(|listener| async {
        let incoming = TcpListenerStream::new(listener);
        server.serve_with_incoming(incoming).await.expect("the server runs until it is dropped");
    });
    let server = server.await;
    let channel = Endpoint::from_shared(server.url("")).unwrap().connect().await.unwrap();
    let client = EchoClient::new(channel);
    assert_backends(&canary, || async {
        let answer = client.clone().unary(Ask::default()).await.unwrap();
        answer.metadata().get("x-answer").unwrap().to_str().unwrap().to_owned()
    })
    .await;
}
