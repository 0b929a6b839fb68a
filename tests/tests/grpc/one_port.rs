use axum::body::Body;
use canary_tests::{
    deployment::{Deployment, Mount, release},
    echo::proto::{Ask, End},
    outcomes::{Outcomes, final_outcomes},
};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tonic::Code;
use tower_canary::Channel;

#[tokio::test]
async fn both_protocols_are_split_and_counted_together() {
    let deployment = Mount::OnePort.start().await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        let answer = deployment.client().await.unary(Ask::default()).await.unwrap();
        assert_eq!(answer.into_inner().release, release(channel));

        let response = get(&deployment, "/hello").await;
        assert_eq!(response.headers()["x-canary-channel"], channel.as_str());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, release(channel));
    }
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::success(2); 2]);
}

#[tokio::test]
async fn failures_are_classified_by_protocol() {
    let deployment = Mount::OnePort.start().await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        for path in ["/status/404", "/status/503"] {
            get(&deployment, path).await;
        }
        let mut client = deployment.client().await;
        for code in [Code::NotFound, Code::Unavailable] {
            let ask = Ask { end: End::Fail.into(), code: code as u32, ..Ask::default() };
            client.unary(ask).await.unwrap_err();
        }
    }
    let counted = Outcomes { success: 2, failure: 2, ..Outcomes::NONE };
    assert_eq!(final_outcomes(deployment.handle()).await, [counted; 2]);
}

/// tonic responds to unknown paths with a gRPC status, also to browsers. A mistyped address must
/// not count as a failure of a service.
#[tokio::test]
async fn a_browsers_request_for_an_unknown_path_is_not_a_grpc_failure() {
    let deployment = Mount::OnePort.start().await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        let response = get(&deployment, "/nope").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["grpc-status"], "12");
    }
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::success(1); 2]);
}

/// Sends a request like a browser: HTTP/1.1, without a content type.
async fn get(deployment: &Deployment, path: &str) -> Response<Incoming> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(deployment.server().url(path)).header("accept", "text/html");
    client.request(request.body(Body::empty()).unwrap()).await.unwrap()
}
