use canary_tests::{
    deployment::{Deployment, Mount, release},
    echo::{
        EchoServer,
        proto::{Answer, Ask},
    },
    outcomes::{Outcomes, final_outcomes},
};
use tokio_stream::{StreamExt as _, iter};
use tonic::{
    Request, Response,
    metadata::{MetadataMap, MetadataValue},
    server::NamedService,
};
use tower_canary::{CanaryOptions, CanaryService, Channel, Tags};

#[tokio::test]
async fn all_kinds_of_calls_reach_both_channels_at_every_mount_point() {
    for mount in Mount::ALL {
        for channel in Channel::ALL {
            let deployment = mount.start().await;
            deployment.send_all_to(channel);

            for (kind, answers) in all_kinds(&deployment).await {
                assert_eq!(tag(&answers), Some(channel.as_str()), "{kind}, {mount:?}");
                let answers = answers.into_inner();
                let expected = [channel.as_str(), release(channel)];
                assert!(!answers.is_empty(), "{kind}, {mount:?}");
                for answer in answers {
                    assert_eq!([&*answer.channel, &*answer.release], expected, "{kind}, {mount:?}");
                }
            }

            let mut expected = [Outcomes::NONE; 2];
            expected[usize::from(channel == Channel::Canary)] = Outcomes::success(4);
            assert_eq!(final_outcomes(deployment.handle()).await, expected, "{channel}, {mount:?}");
        }
    }
}

#[tokio::test]
async fn messages_arrive_complete_and_in_order() {
    let deployment = Mount::Server.start().await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        let mut client = deployment.client().await;
        let ask = |text: &str| Ask { text: text.to_owned(), answers: 1, ..Ask::default() };

        let joined = client.collect(iter([ask("a"), ask("b"), ask("c")])).await.unwrap();
        assert_eq!(joined.into_inner().text, "a b c");

        let asks = (0..100).map(|n| ask(&n.to_string()));
        let answers = client.chat(iter(asks.collect::<Vec<_>>())).await.unwrap();
        let texts = answers.into_inner().map(|answer| answer.unwrap().text);
        let expected: Vec<_> = (0..100).map(|n: u32| n.to_string()).collect();
        assert_eq!(texts.collect::<Vec<_>>().await, expected);
    }
}

#[tokio::test]
async fn metadata_passes_in_both_directions() {
    let deployment = Mount::Server.start().await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        let mut client = deployment.client().await;
        let asking = |message: Ask| {
            let mut request = Request::new(message);
            request.metadata_mut().insert("x-ask", "text".parse().unwrap());
            request.metadata_mut().insert_bin("x-ask-bin", MetadataValue::from_bytes(b"\0\xff"));
            request
        };
        let assert_returned = |metadata: &MetadataMap| {
            assert_eq!(metadata.get("x-answer").unwrap(), "text");
            assert_eq!(
                metadata.get_bin("x-answer-bin").unwrap().to_bytes().unwrap(),
                &b"\0\xff"[..]
            );
        };

        assert_returned(client.unary(asking(Ask::default())).await.unwrap().metadata());
        assert_returned(client.expand(asking(Ask::default())).await.unwrap().metadata());
        let failing = Ask { end: 1, code: 5, ..Ask::default() };
        assert_returned(client.unary(asking(failing.clone())).await.unwrap_err().metadata());
        let mut late = client.expand(asking(Ask { answers: 1, ..failing })).await.unwrap();
        late.get_mut().message().await.unwrap();
        assert_returned(late.get_mut().message().await.unwrap_err().metadata());
    }
}

#[tokio::test]
async fn both_channels_get_the_requested_share() {
    const CALLS: u64 = 400;
    let deployment = Mount::Server.start().await;
    deployment.handle().set_weight("50%".parse().unwrap()).unwrap();
    let mut client = deployment.client().await;

    let mut canary = 0;
    for _ in 0..CALLS {
        let response = client.unary(Ask::default()).await.unwrap();
        canary += u64::from(tag(&response) == Some("canary"));
    }

    let counted = [Outcomes::success(CALLS - canary), Outcomes::success(canary)];
    assert_eq!(final_outcomes(deployment.handle()).await, counted);
    // Five standard deviations, of ten calls each, in both directions.
    assert!((150..=250).contains(&canary), "{canary} of {CALLS}");
}

#[tokio::test]
async fn the_release_is_in_the_metadata_if_requested() {
    let options = CanaryOptions::new()
        .stable_release("1.9.2")
        .canary_release("2.0.0")
        .tags(Tags::default().release_header());
    let deployment = Mount::Server.start_with(options).await;
    for (channel, release) in [(Channel::Stable, "1.9.2"), (Channel::Canary, "2.0.0")] {
        deployment.send_all_to(channel);
        let response = deployment.client().await.unary(Ask::default()).await.unwrap();
        assert_eq!(response.metadata().get("x-canary-release").unwrap(), release);
    }
}

#[test]
fn a_canary_service_has_the_name_of_its_stable_service() {
    type Canary = CanaryService<EchoServer, EchoServer>;
    assert_eq!(<Canary as NamedService>::NAME, "canary.tests.Echo");
}

/// Makes one call of each kind, all over one connection.
async fn all_kinds(deployment: &Deployment) -> [(&'static str, Response<Vec<Answer>>); 4] {
    let mut client = deployment.client().await;
    let ask = Ask { text: "hello".to_owned(), answers: 3, ..Ask::default() };
    let asks = || iter(vec![ask.clone(); 2]);
    [
        ("unary", client.unary(ask.clone()).await.unwrap().map(|answer| vec![answer])),
        ("collect", client.collect(asks()).await.unwrap().map(|answer| vec![answer])),
        ("expand", all(client.expand(ask.clone()).await.unwrap()).await),
        ("chat", all(client.chat(asks()).await.unwrap()).await),
    ]
}

async fn all(response: Response<tonic::Streaming<Answer>>) -> Response<Vec<Answer>> {
    let (metadata, answers, extensions) = response.into_parts();
    let answers = answers.map(Result::unwrap).collect().await;
    Response::from_parts(metadata, answers, extensions)
}

fn tag<T>(response: &Response<T>) -> Option<&str> {
    response.metadata().get("x-canary-channel")?.to_str().ok()
}
