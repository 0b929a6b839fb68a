use std::time::Duration;

use canary_tests::{
    deployment::{Mount, Releases, client, send_all_to},
    echo::proto::{Ask, End},
    outcomes::{Outcomes, final_outcomes},
    task_server::TaskServer,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, transport::Server};
use tower_canary::{CanaryLayer, Channel};

#[tokio::test]
async fn a_canary_that_hangs_until_the_callers_deadline_has_failed() {
    // axum does not know the deadline: there it is the caller alone who ends the call.
    for mount in [Mount::Server, Mount::OnePort] {
        let deployment = mount.start().await;
        deployment.send_all_to(Channel::Canary);
        let mut client = deployment.client().await;
        client.unary(Ask::default()).await.unwrap();

        let mut request = Request::new(waiting());
        request.set_timeout(DEADLINE);
        client.unary(request).await.unwrap_err();

        let canary = Outcomes { success: 1, failure: 1, ..Outcomes::NONE };
        assert_eq!(
            final_outcomes(deployment.handle()).await,
            [Outcomes::NONE, canary],
            "{mount:?}"
        );
    }
}

#[tokio::test]
async fn a_caller_that_leaves_before_its_deadline_has_cancelled() {
    for mount in Mount::ALL {
        let deployment = mount.start().await;
        for channel in Channel::ALL {
            deployment.send_all_to(channel);
            let mut client = deployment.client().await;
            let call = tokio::spawn(async move {
                let mut request = Request::new(waiting());
                request.set_timeout(Duration::from_secs(600));
                client.unary(request).await
            });
            deployment.breakpoint(channel).wait_for_arrival().await;
            call.abort();
        }
        assert_eq!(
            final_outcomes(deployment.handle()).await,
            [Outcomes::cancelled(1); 2],
            "{mount:?}"
        );
    }
}

#[tokio::test]
async fn a_caller_that_leaves_a_stream_has_cancelled() {
    for mount in Mount::ALL {
        let deployment = mount.start().await;
        for channel in Channel::ALL {
            deployment.send_all_to(channel);
            let mut client = deployment.client().await;
            let ask = Ask { answers: 2, ..waiting() };
            let mut answers = client.expand(ask).await.unwrap().into_inner();
            assert!(answers.message().await.unwrap().is_some());
        }
        assert_eq!(
            final_outcomes(deployment.handle()).await,
            [Outcomes::cancelled(1); 2],
            "{mount:?}"
        );
    }
}

/// tonic's own time limit is outside of all layers and leaves no trace in them. Only the deadlines
/// that callers set are known to the layer.
#[tokio::test]
async fn a_time_limit_of_the_server_looks_as_if_the_caller_had_left() {
    let releases = Releases::new();
    let layer = CanaryLayer::new("echo", releases.routes(Channel::Canary));
    let handle = layer.handle();
    let routes = releases.routes(Channel::Stable);
    let server = TaskServer::start(|listener| async {
        let server = Server::builder().timeout(DEADLINE).layer(layer).add_routes(routes);
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    let server = server.await;
    let mut client = client(&server).await;

    send_all_to(&handle, Channel::Canary);
    let status = client.unary(waiting()).await.unwrap_err();
    assert_eq!(status.code(), Code::Cancelled);
    assert_eq!(final_outcomes(&handle).await, [Outcomes::NONE, Outcomes::cancelled(1)]);

    let mut request = Request::new(waiting());
    request.set_timeout(DEADLINE);
    client.unary(request).await.unwrap_err();
    let canary = Outcomes { failure: 1, ..Outcomes::cancelled(1) };
    assert_eq!(final_outcomes(&handle).await, [Outcomes::NONE, canary]);
}

fn waiting() -> Ask {
    Ask { end: End::Wait.into(), ..Ask::default() }
}

/// The layer takes whoever leaves in the last tenth for one whose time was over. The tenth has to
/// be longer than what a busy machine takes to bring the request to the layer.
const DEADLINE: Duration = Duration::from_secs(2);
