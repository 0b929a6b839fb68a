use canary_tests::{
    deployment::{Releases, send_all_to},
    echo::proto::{Ask, End, echo_client::EchoClient},
    outcomes::{Outcomes, final_outcomes},
    task_server::TaskServer,
};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, transport::Server};
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
use tower::Layer as _;
use tower_canary::{CanaryLayer, Channel};

#[tokio::test]
async fn grpc_web_calls_are_counted_correctly_if_tonic_web_is_outside_the_layer() {
    let releases = Releases::new();
    let layer = CanaryLayer::new("echo", releases.routes(Channel::Canary));
    let handle = layer.handle();
    let routes = releases.routes(Channel::Stable);
    let server = TaskServer::start(|listener| async {
        let server = Server::builder().accept_http1(true).layer(GrpcWebLayer::new());
        let server = server.layer(layer).add_routes(routes);
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    let server = server.await;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let web = GrpcWebClientLayer::new().layer(http);
    let mut client = EchoClient::with_origin(web, server.url("").parse().unwrap());

    for channel in Channel::ALL {
        send_all_to(&handle, channel);
        let response = client.unary(Ask::default()).await.unwrap();
        assert_eq!(response.metadata().get("x-canary-channel").unwrap(), channel.as_str());
        let mut answers = client.expand(failing(2, Code::Ok)).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
        assert!(answers.message().await.unwrap().is_some());
        assert!(answers.message().await.unwrap().is_none());
        assert_eq!(
            client.unary(failing(0, Code::NotFound)).await.unwrap_err().code(),
            Code::NotFound
        );
    }
    assert_eq!(final_outcomes(&handle).await, [Outcomes::success(3); 2]);

    for channel in Channel::ALL {
        send_all_to(&handle, channel);
        let status = client.unary(failing(0, Code::Internal)).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        let mut answers = client.expand(failing(1, Code::DataLoss)).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
        assert_eq!(answers.message().await.unwrap_err().code(), Code::DataLoss);
    }
    let counted = Outcomes { failure: 2, ..Outcomes::success(3) };
    assert_eq!(final_outcomes(&handle).await, [counted; 2]);
}

fn failing(answers: u32, code: Code) -> Ask {
    let end = if code == Code::Ok { End::Return } else { End::Fail };
    Ask { answers, end: end.into(), code: code as u32, ..Ask::default() }
}
