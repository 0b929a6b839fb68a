use std::time::Duration;

use canary_tests::{
    deployment::{Deployment, Mount},
    echo::proto::{Ask, End},
    final_counts,
    timeout::complete,
};
use tonic::Code;
use tower_canary::{CanaryOptions, Channel, Fallback, select::Condition};

use crate::{ALMOST_ALL, all_to_canary};

async fn start(mount: Mount, options: CanaryOptions) -> Deployment {
    let deployment = mount.start_with(all_to_canary(options)).await;
    deployment.handle().set_weight(ALMOST_ALL).unwrap();
    deployment
}

/// The fallback for the request body type of the mount point.
fn fallback(mount: Mount) -> Fallback {
    let fallback = match mount {
        Mount::Server | Mount::Service => Fallback::tonic(),
        Mount::OnePort => Fallback::axum(),
    };
    fallback.only(
        Condition::path("/canary.tests.Echo/Unary")
            .or(Condition::path("/canary.tests.Echo/Collect")),
    )
}

fn ask(end: End) -> Ask {
    Ask {
        text: "hello".to_owned(),
        end: end.into(),
        code: Code::Unavailable as u32,
        ..Ask::default()
    }
}

#[tokio::test]
async fn a_call_that_hangs_fails_with_deadline_exceeded_at_its_limit() {
    for mount in Mount::ALL {
        let options = CanaryOptions::new().time_limit(Channel::Canary, Duration::from_millis(20));
        let deployment = start(mount, options).await;
        let status = complete(deployment.client().await.unary(ask(End::Wait))).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{mount:?}");
        assert_eq!(status.metadata().get("x-canary-channel").unwrap(), "canary");
        let canary = final_counts(deployment.handle()).await.evidence.canary;
        assert_eq!([canary.failure, canary.timed_out], [1, 1]);
    }
}

#[tokio::test]
async fn stable_repeats_the_methods_that_the_condition_selects() {
    for mount in Mount::ALL {
        // Stable behaves like the canary, except that its breakpoint is resumed.
        let limited = CanaryOptions::new()
            .fallback(fallback(mount))
            .time_limit(Channel::Canary, Duration::from_millis(20));
        let deployment = start(mount, limited).await;
        deployment.breakpoint(Channel::Stable).resume();
        let answer = complete(deployment.client().await.unary(ask(End::Wait))).await.unwrap();
        assert_eq!(answer.metadata().get("x-canary-channel").unwrap(), "stable", "{mount:?}");
        let answer = answer.into_inner();
        assert_eq!([&*answer.text, &answer.channel, &answer.release], ["hello", "stable", "v1"]);
        let counts = final_counts(deployment.handle()).await;
        let canary = &counts.evidence.canary;
        assert_eq!([canary.failure, canary.fell_back, canary.timed_out], [1; 3]);
        assert_eq!(counts.excluded.stable.success, 1);

        let deployment = start(mount, CanaryOptions::new().fallback(fallback(mount))).await;
        let status = complete(deployment.client().await.unary(ask(End::Fail))).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.metadata().get("x-canary-channel").unwrap(), "stable", "{mount:?}");
        let counts = final_counts(deployment.handle()).await;
        let canary = &counts.evidence.canary;
        assert_eq!([canary.failure, canary.fell_back, canary.panicked], [1, 1, 0]);
        assert_eq!(counts.excluded.stable.failure, 1);
    }
}

#[tokio::test]
async fn a_stream_of_requests_is_repeated_from_its_start() {
    for mount in Mount::ALL {
        let options = CanaryOptions::new()
            .fallback(fallback(mount))
            .time_limit(Channel::Canary, Duration::from_millis(20));
        let deployment = start(mount, options).await;
        deployment.breakpoint(Channel::Stable).resume();
        let asks = ["one", "two", "three"].map(|text| {
            let end = if text == "two" { End::Wait } else { End::Return };
            Ask { text: text.to_owned(), ..ask(end) }
        });
        let mut client = deployment.client().await;
        let answer = complete(client.collect(tokio_stream::iter(asks))).await.unwrap().into_inner();
        assert_eq!([&*answer.text, &answer.release], ["one two three", "v1"], "{mount:?}");
        assert_eq!(final_counts(deployment.handle()).await.evidence.canary.fell_back, 1);
    }
}

#[tokio::test]
async fn a_call_above_max_body_or_of_another_method_is_not_repeated() {
    for mount in Mount::ALL {
        let options = CanaryOptions::new().fallback(fallback(mount).max_body(1000));
        let deployment = start(mount, options).await;
        let mut client = deployment.client().await;
        let long = Ask { text: "x".repeat(2000), ..ask(End::Panic) };
        let status = complete(client.unary(long)).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{mount:?}");
        let status = complete(client.expand(ask(End::Fail))).await.unwrap_err();
        assert_eq!(status.metadata().get("x-canary-channel").unwrap(), "canary");
        let canary = final_counts(deployment.handle()).await.evidence.canary;
        assert_eq!([canary.failure, canary.fell_back], [2, 0]);
    }
}

#[tokio::test]
async fn open_streams_count_against_the_concurrency_limit() {
    for mount in Mount::ALL {
        let options = CanaryOptions::new().concurrency_limit(1);
        let deployment = start(mount, options).await;
        let mut client = deployment.client().await;
        let waiting = Ask { answers: 1, ..ask(End::Wait) };
        let mut stream = complete(client.expand(waiting)).await.unwrap().into_inner();
        assert_eq!(complete(stream.message()).await.unwrap().unwrap().release, "v2");
        let answer = complete(client.unary(ask(End::Return))).await.unwrap().into_inner();
        assert_eq!([&*answer.channel, &answer.release], ["stable", "v1"], "{mount:?}");

        deployment.breakpoint(Channel::Canary).resume();
        assert!(complete(stream.message()).await.unwrap().is_none());
        let answer = complete(client.unary(ask(End::Return))).await.unwrap().into_inner();
        assert_eq!(answer.release, "v2");
        let canary = final_counts(deployment.handle()).await.evidence.canary;
        assert_eq!([canary.success, canary.spilled, canary.shed], [2, 1, 1]);
    }
}
