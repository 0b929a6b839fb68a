use canary_tests::{
    deployment::{Releases, client, release, send_all_to},
    echo::proto::Ask,
    outcomes::{Outcomes, final_outcomes},
    task_server::TaskServer,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Server, server::Router};
use tower::{Layer, util::option_layer};
use tower_canary::{CanaryLayer, Channel};

#[tokio::test]
async fn an_optional_layer_of_a_server_splits_its_calls_if_it_is_there() {
    for is_enabled in [true, false] {
        let releases = Releases::new();
        let layer =
            is_enabled.then(|| CanaryLayer::new("echo", releases.routes(Channel::Canary)).boxed());
        let handle = layer.as_ref().map(|layer| layer.handle());
        let stable = releases.routes(Channel::Stable);
        let server = TaskServer::start(|listener| async {
            let router = Server::builder().layer(option_layer(layer)).add_routes(stable);
            router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        let server = server.await;
        for channel in Channel::ALL {
            handle.as_ref().inspect(|handle| send_all_to(handle, channel));
            let served = if is_enabled { channel } else { Channel::Stable };
            let answer = client(&server).await.unary(Ask::default()).await.unwrap();
            assert_eq!(answer.into_inner().release, release(served));
        }
        if let Some(handle) = handle {
            assert_eq!(final_outcomes(&handle).await, [Outcomes::success(1); 2]);
        }
    }
}

#[tokio::test]
async fn a_boxed_layer_around_one_service_keeps_its_name() {
    let releases = Releases::new();
    let layer = CanaryLayer::new("echo", releases.echo(Channel::Canary)).boxed();
    let handle = layer.handle();
    let echo = layer.layer(releases.echo(Channel::Stable));
    let server = TaskServer::start(|listener| async {
        let router: Router = Server::builder().add_service(echo);
        router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    let server = server.await;
    for channel in Channel::ALL {
        send_all_to(&handle, channel);
        let answer = client(&server).await.unary(Ask::default()).await.unwrap();
        assert_eq!(answer.into_inner().release, release(channel));
    }
    assert_eq!(final_outcomes(&handle).await, [Outcomes::success(1); 2]);
}
