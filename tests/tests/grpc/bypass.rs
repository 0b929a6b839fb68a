use canary_tests::{
    deployment::{Releases, send_all_to, serve},
    echo::{EchoServer, proto},
    outcomes::{Outcomes, final_outcomes},
    task_server::TaskServer,
};
use tokio_stream::once;
use tonic::{
    Code, Response, Status,
    service::Routes,
    transport::{Channel as Connection, Endpoint},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient},
    server::health_reporter,
};
use tonic_reflection::{
    pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    },
    server::Builder,
};
use tower_canary::{Bypass, CanaryHandle, CanaryLayer, CanaryOptions, Channel};

#[tokio::test]
async fn stable_answers_health_checks_uncounted_even_at_full_weight() {
    let (server, handle) = start(CanaryOptions::new(), unhealthy_canary().await).await;
    for channel in Channel::ALL {
        send_all_to(&handle, channel);
        let response = check_health(&server).await.unwrap();
        assert!(!response.metadata().contains_key("x-canary-channel"));
        assert_eq!(response.into_inner().status, ServingStatus::Serving as i32);
    }
    assert_eq!(final_outcomes(&handle).await, [Outcomes::NONE; 2]);
}

#[tokio::test]
async fn a_health_watch_is_not_an_open_call() {
    let (server, handle) = start(CanaryOptions::new(), unhealthy_canary().await).await;
    send_all_to(&handle, Channel::Canary);

    let mut client = HealthClient::new(connect(&server).await);
    let mut watch = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status, ServingStatus::Serving as i32);
    assert_eq!(Channel::ALL.map(|channel| handle.open(channel)), [0, 0]);
}

#[tokio::test]
async fn stable_answers_reflection_uncounted_even_at_full_weight() {
    let (server, handle) = start(CanaryOptions::new(), Routes::default()).await;
    for channel in Channel::ALL {
        send_all_to(&handle, channel);
        assert!(services(&server).await.contains(&"canary.tests.Echo".to_owned()));
    }
    assert_eq!(final_outcomes(&handle).await, [Outcomes::NONE; 2]);
}

#[tokio::test]
async fn health_checks_can_be_split_like_other_calls() {
    let options = CanaryOptions::new().bypass(Bypass::none());
    let (server, handle) = start(options, Routes::default()).await;
    send_all_to(&handle, Channel::Canary);

    let status = check_health(&server).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(final_outcomes(&handle).await, [Outcomes::NONE, Outcomes::failure(1)]);
}

/// Starts a server whose stable release is healthy and offers reflection.
async fn start(options: CanaryOptions, canary: Routes) -> (TaskServer, CanaryHandle) {
    let (reporter, health) = health_reporter();
    reporter.set_serving::<EchoServer>().await;
    let reflection =
        Builder::configure().register_encoded_file_descriptor_set(proto::FILE_DESCRIPTORS);
    let stable = Releases::new()
        .routes(Channel::Stable)
        .add_service(health)
        .add_service(reflection.build_v1().unwrap());
    let layer = CanaryLayer::with_options("echo", canary, options);
    let handle = layer.handle();
    (serve(stable, layer).await, handle)
}

/// A canary that reports that it is not serving.
async fn unhealthy_canary() -> Routes {
    let (reporter, health) = health_reporter();
    reporter.set_service_status("", ServingStatus::NotServing).await;
    Releases::new().routes(Channel::Canary).add_service(health)
}

async fn check_health(server: &TaskServer) -> Result<Response<HealthCheckResponse>, Status> {
    HealthClient::new(connect(server).await).check(HealthCheckRequest::default()).await
}

async fn services(server: &TaskServer) -> Vec<String> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(connect(server).await);
    let response = client.server_reflection_info(once(request)).await.unwrap();
    let message = response.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = message.message_response else {
        panic!("expected a list of services, got {message:?}");
    };
    list.service.into_iter().map(|service| service.name).collect()
}

async fn connect(server: &TaskServer) -> Connection {
    Endpoint::from_shared(server.url("")).unwrap().connect().await.unwrap()
}
