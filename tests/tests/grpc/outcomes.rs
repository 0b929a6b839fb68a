use std::convert::Infallible;

use bytes::Bytes;
use canary_tests::{
    broken_upload::broken_upload,
    deployment::{Mount, Releases, client, send_all_to, serve},
    echo::proto::{Ask, End},
    outcomes::{Outcomes, final_outcomes},
};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tonic::{Code, body::Body, service::Routes};
use tower_canary::{
    CanaryLayer, CanaryOptions, Channel, Fallback,
    classify::{Classification, Classify, HeadClassification, Protocol, ServerErrors},
    select::Condition,
};

#[tokio::test]
async fn server_error_codes_are_failures_and_client_error_codes_are_not() {
    // The server errors of OpenTelemetry.
    let failures = [2, 4, 12, 13, 14, 15];
    for mount in Mount::ALL {
        let deployment = mount.start().await;
        deployment.send_all_to(Channel::Canary);
        let mut client = deployment.client().await;

        let mut expected = Outcomes::NONE;
        for code in 1..=16 {
            let status = client.unary(failing(0, code)).await.unwrap_err();
            assert_eq!(status.code() as i32, i32::try_from(code).unwrap());
            if failures.contains(&code) {
                expected.failure += 1;
            } else {
                expected.success += 1;
            }
            let counted = final_outcomes(deployment.handle()).await;
            assert_eq!(counted, [Outcomes::NONE, expected], "{}, {mount:?}", status.code());
        }
    }
}

#[tokio::test]
async fn a_failure_in_the_head_of_a_response_without_a_body_counts() {
    let deployment = Mount::Server.start().await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        let mut client = deployment.client().await;
        // The handler fails before the stream starts.
        let status = client.expand(failing(0, Code::Internal as u32)).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(status.metadata().get("x-canary-channel").unwrap(), channel.as_str());
    }
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::failure(1); 2]);
}

#[tokio::test]
async fn a_stream_that_fails_after_two_messages_is_a_failure() {
    let deployment = Mount::Server.start().await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        let mut client = deployment.client().await;
        let response = client.expand(failing(2, Code::Unavailable as u32)).await.unwrap();
        let mut answers = response.into_inner();
        assert!(answers.message().await.unwrap().is_some());
        assert!(answers.message().await.unwrap().is_some());
        assert_eq!(answers.message().await.unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::failure(1); 2]);
}

#[tokio::test]
async fn a_stream_that_ends_with_a_client_error_is_a_success() {
    let deployment = Mount::Server.start().await;
    deployment.send_all_to(Channel::Canary);
    let mut client = deployment.client().await;
    let response = client.expand(failing(2, Code::InvalidArgument as u32)).await.unwrap();
    let mut answers = response.into_inner();
    while let Ok(Some(_)) = answers.message().await {}
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::NONE, Outcomes::success(1)]);
}

#[tokio::test]
async fn a_canary_without_the_service_fails_its_calls() {
    let layer = CanaryLayer::new("echo", Routes::default());
    let handle = layer.handle();
    let server = serve(Releases::new().routes(Channel::Stable), layer).await;
    send_all_to(&handle, Channel::Canary);

    let status = client(&server).await.unary(Ask::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(final_outcomes(&handle).await, [Outcomes::NONE, Outcomes::failure(1)]);
}

#[tokio::test]
async fn a_response_that_ends_without_a_status_is_a_failure() {
    let canary = tower::service_fn(async |_: http::Request<Body>| {
        let message = Bytes::from_static(&[0; 5]);
        let response = Response::builder().header("content-type", "application/grpc");
        Ok::<_, Infallible>(response.body(Body::new(Full::new(message))).unwrap())
    });
    let layer = CanaryLayer::new("echo", canary);
    let handle = layer.handle();
    let server = serve(Releases::new().routes(Channel::Stable), layer).await;
    send_all_to(&handle, Channel::Canary);

    let response = client(&server).await.expand(Ask::default()).await.unwrap();
    let mut answers = response.into_inner();
    assert!(answers.message().await.unwrap().is_some());
    assert!(answers.message().await.is_err());
    assert_eq!(final_outcomes(&handle).await, [Outcomes::NONE, Outcomes::failure(1)]);
}

#[tokio::test]
async fn the_set_of_failure_codes_can_be_changed() {
    let classify = ServerErrors::default()
        .grpc_failure(Code::ResourceExhausted as u8)
        .grpc_success(Code::Unimplemented as u8);
    let deployment = Mount::Server.start_with(CanaryOptions::new().classify(classify)).await;
    deployment.send_all_to(Channel::Canary);
    let mut client = deployment.client().await;

    client.unary(failing(0, Code::Unimplemented as u32)).await.unwrap_err();
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::NONE, Outcomes::success(1)]);
    client.unary(failing(0, Code::ResourceExhausted as u32)).await.unwrap_err();
    let counted = Outcomes { success: 1, failure: 1, ..Outcomes::NONE };
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::NONE, counted]);
}

#[tokio::test]
async fn a_custom_classifier_sees_heads_and_trailers() {
    /// Classifies responses with `x-answer: slow` as failures.
    struct Slow;

    impl Classify for Slow {
        fn head(&self, protocol: Protocol, head: &Response<()>) -> HeadClassification {
            assert_eq!(protocol, Protocol::Grpc);
            match head.headers().get("grpc-status") {
                Some(_) => HeadClassification::Final(by_answer(head.headers())),
                None => HeadClassification::AtEnd,
            }
        }

        fn trailers(&self, _: Protocol, trailers: Option<&HeaderMap>) -> Classification {
            trailers.map_or(Classification::Failure, by_answer)
        }
    }

    fn by_answer(headers: &HeaderMap) -> Classification {
        match headers.get("x-answer") {
            Some(answer) if answer == "slow" => Classification::Failure,
            _ => Classification::Success,
        }
    }

    let deployment = Mount::Server.start_with(CanaryOptions::new().classify(Slow)).await;
    deployment.send_all_to(Channel::Canary);
    let mut client = deployment.client().await;
    for (answers, word) in [(0, "slow"), (1, "slow"), (0, "fast"), (1, "fast")] {
        let mut request = tonic::Request::new(failing(answers, Code::Internal as u32));
        request.metadata_mut().insert("x-ask", word.parse().unwrap());
        if let Ok(response) = client.expand(request).await {
            let mut answers = response.into_inner();
            while let Ok(Some(_)) = answers.message().await {}
        }
    }
    let counted = Outcomes { success: 2, failure: 2, ..Outcomes::NONE };
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::NONE, counted]);
}

#[tokio::test]
async fn a_stream_of_requests_without_a_message_is_answered() {
    let fallback = Fallback::tonic().only(Condition::path_prefix("/"));
    for options in [CanaryOptions::new(), CanaryOptions::new().fallback(fallback)] {
        let deployment = Mount::Server.start_with(options).await;
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        for channel in Channel::ALL {
            deployment.send_all_to(channel);
            let url = deployment.server().url("/canary.tests.Echo/Collect");
            let request = http::Request::post(url).header("content-type", "application/grpc");
            // The head of the request ends the stream.
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let body = client.request(request).await.unwrap().into_body();
            assert_eq!(body.collect().await.unwrap().trailers().unwrap()["grpc-status"], "0");
        }
        assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::success(1); 2]);
    }
}

#[tokio::test]
async fn a_stream_of_requests_that_its_caller_breaks_off_is_no_failure() {
    for mount in Mount::ALL {
        let deployment = mount.start().await;
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        for channel in Channel::ALL {
            deployment.send_all_to(channel);
            for method in ["Collect", "Chat", "Unary"] {
                let url = deployment.server().url(&format!("/canary.tests.Echo/{method}"));
                // A message without fields, and a part of another one.
                let body = broken_upload(&[0; 8], deployment.handle(), channel);
                let request = http::Request::post(url).header("content-type", "application/grpc");
                if let Ok(response) = client.request(request.body(body).unwrap()).await {
                    // The head of a response stream arrived before the error.
                    assert!(response.into_body().collect().await.is_err());
                }
                final_outcomes(deployment.handle()).await;
            }
        }
        let counted = final_outcomes(deployment.handle()).await;
        assert_eq!(counted, [Outcomes::cancelled(3); 2], "{mount:?}");
    }
}

fn failing(answers: u32, code: u32) -> Ask {
    Ask { answers, end: End::Fail.into(), code, ..Ask::default() }
}
