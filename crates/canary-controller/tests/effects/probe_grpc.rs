use canary_controller::{
    probe::{ProbeRunner, ProbeTarget},
    webhook::HttpTransport,
};
use canary_rollout::tick::ProbeOutcome;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, service::Routes};
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_server::{Health, HealthServer},
    },
};

use crate::{
    probe::{failed, probe},
    support::{CERTIFICATE, TestServer, hang, soon},
};

/// Returns a health service with a serving server and a `shop.Cart` that is not serving.
async fn health() -> Routes {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("shop.Cart", ServingStatus::NotServing).await;
    Routes::new(health)
}

/// A health service whose behavior depends on the requested name.
#[derive(Clone)]
struct FailingHealth;

#[tonic::async_trait]
impl Health for FailingHealth {
    type WatchStream = futures_util::stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let is_marked = request.metadata().get("x-canary-probe").is_some_and(|it| it == "1");
        match request.into_inner().service.as_str() {
            "panic" => panic!("no table"),
            "hang" => hang().await,
            "marked" if is_marked => Ok(Response::new(HealthCheckResponse { status: 1 })),
            "newer" => Ok(Response::new(HealthCheckResponse { status: 99 })),
            _ => Err(Status::internal("a pool is empty")),
        }
    }

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn run(runner: &ProbeRunner, service: &str) -> ProbeOutcome {
    soon(runner.run(&probe(json!({ "grpc_health": { "service": service } })))).await
}

fn in_process(routes: Routes) -> ProbeRunner {
    ProbeRunner::new().target(ProbeTarget::routes(routes))
}

#[tokio::test]
async fn health_is_checked_in_process() {
    let runner = in_process(health().await);
    assert_eq!(run(&runner, "").await, ProbeOutcome::Passed);
    assert_eq!(
        run(&runner, "shop.Cart").await,
        failed(r#"health of "shop.Cart" is NOT_SERVING, expected SERVING"#),
    );
    assert_eq!(
        run(&runner, "shop.Card").await,
        failed(r#"health of "shop.Card" is unknown: the health service has no such service"#),
    );
}

#[tokio::test]
async fn a_canary_without_a_health_service_fails_with_that_reason() {
    let runner = in_process(Routes::default());
    let reason =
        "health of the server is unknown: the canary does not implement grpc.health.v1.Health";
    assert_eq!(run(&runner, "").await, failed(reason));
}

#[tokio::test(start_paused = true)]
async fn a_failed_health_check_has_a_reason() {
    let runner = in_process(Routes::new(HealthServer::new(FailingHealth)));
    assert_eq!(run(&runner, "marked").await, ProbeOutcome::Passed);
    assert_eq!(run(&runner, "panic").await, failed(r#"health of "panic" panicked: no table"#));
    assert_eq!(run(&runner, "hang").await, failed(r#"health of "hang" took longer than 5s"#));
    assert_eq!(
        run(&runner, "newer").await,
        failed(r#"health of "newer" is UNKNOWN, expected SERVING"#),
    );
    assert_eq!(
        run(&runner, "pool").await,
        failed(r#"health of "pool" got Internal, expected SERVING: a pool is empty"#),
    );
}

#[tokio::test]
async fn a_response_that_is_not_grpc_is_a_failure() {
    let router = axum::Router::new().fallback(async || "hello");
    let runner = ProbeRunner::new().target(ProbeTarget::router(router));
    let ProbeOutcome::Failed(reason) = run(&runner, "").await else { panic!("the probe passed") };
    assert!(reason.starts_with("health of the server got "), "{reason}");
}

#[tokio::test]
async fn health_is_checked_in_another_process() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = health().await.prepare().into_axum_router();
    let server = TestServer::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let transport = HttpTransport::try_with_roots(CERTIFICATE).unwrap();
    let runner = ProbeRunner::new().target(ProbeTarget::url(&url, transport).unwrap());
    assert_eq!(run(&runner, "").await, ProbeOutcome::Passed);
    assert_eq!(
        run(&runner, "shop.Cart").await,
        failed(r#"health of "shop.Cart" is NOT_SERVING, expected SERVING"#),
    );
    drop(server);
    // A request that is in progress when the server stops fails with another reason.
    let expected = "health of the server got no response: ";
    let stopped = async {
        loop {
            match run(&runner, "").await {
                ProbeOutcome::Failed(reason) if reason.starts_with(expected) => break,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    soon(stopped).await;
}
