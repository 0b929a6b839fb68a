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
async fn a_call_that_hangs_until_the_callers_deadline_is_a_failure() {
    // axum does not enforce the deadline, so the caller ends the call.
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
async fn a_call_that_is_dropped_before_its_deadline_is_cancelled() {
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
async fn a_stream_that_the_caller_drops_is_cancelled() {
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

/// tonic applies its timeout outside of all layers, which see only a dropped call. The layer knows
/// only the deadlines that callers set.
#[tokio::test]
async fn a_timeout_of_the_tonic_server_counts_as_cancelled() {
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

/// The layer treats a call that is dropped in the last tenth of its deadline as timed out. That
/// tenth must be longer than the time in which the request reaches the layer on a busy machine.
const DEADLINE: Duration = Duration::from_secs(8);
