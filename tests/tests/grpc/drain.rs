use canary_tests::{
    deployment::{Deployment, Mount},
    echo::proto::{Answer, Ask, End},
    outcomes::{Outcomes, final_outcomes},
    timeout::complete,
};
use tonic::{Code, Streaming};
use tower_canary::Channel;

#[tokio::test]
async fn a_stream_is_in_flight_until_it_ends() {
    for mount in Mount::ALL {
        let deployment = mount.start().await;
        let handle = deployment.handle();
        for channel in Channel::ALL {
            let mut answers = open(&deployment, channel, End::Wait).await;
            deployment.breakpoint(channel).wait_for_arrival().await;
            assert_eq!(handle.open(channel), 1, "{mount:?}");
            assert_eq!(Outcomes::now(handle, channel), Outcomes::in_flight(1), "{mount:?}");

            deployment.breakpoint(channel).resume();
            assert!(complete(answers.message()).await.unwrap().is_none());
            assert_eq!(handle.open(channel), 0, "{mount:?}");
        }
        assert_eq!(final_outcomes(handle).await, [Outcomes::success(1); 2], "{mount:?}");
    }
}

#[tokio::test]
async fn a_rollback_notifies_the_handler_of_an_open_stream() {
    for mount in Mount::ALL {
        let deployment = mount.start().await;
        let mut answers = open(&deployment, Channel::Canary, End::Drain).await;
        deployment.breakpoint(Channel::Canary).wait_for_arrival().await;

        deployment.handle().roll_back();

        let last = complete(answers.message()).await.unwrap().unwrap();
        assert_eq!(last.text, "good-bye", "{mount:?}");
        assert!(complete(answers.message()).await.unwrap().is_none());
        let counted = final_outcomes(deployment.handle()).await;
        assert_eq!(counted, [Outcomes::NONE, Outcomes::success(1)], "{mount:?}");
    }
}

#[tokio::test]
async fn a_halt_notifies_a_handler_that_has_not_answered() {
    let deployment = Mount::Server.start().await;
    deployment.send_all_to(Channel::Canary);
    let mut client = deployment.client().await;
    let ask = Ask { end: End::Drain.into(), ..Ask::default() };
    let call = tokio::spawn(async move { client.unary(ask).await });
    deployment.breakpoint(Channel::Canary).wait_for_arrival().await;

    deployment.handle().halt("totals are wrong");

    assert_eq!(complete(call).await.unwrap().unwrap().into_inner().channel, "canary");
}

#[tokio::test]
async fn a_drain_after_a_promotion_ends_the_streams_of_stable() {
    let deployment = Mount::Server.start().await;
    let mut answers = open(&deployment, Channel::Stable, End::Drain).await;
    deployment.breakpoint(Channel::Stable).wait_for_arrival().await;

    deployment.handle().promote().unwrap();
    let drain = deployment.handle().drain(Channel::Stable);

    assert_eq!(complete(answers.message()).await.unwrap().unwrap().text, "good-bye");
    complete(drain.ended()).await;
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::success(1), Outcomes::NONE]);
}

#[tokio::test]
async fn closing_a_drain_ends_its_streams_as_unavailable() {
    for mount in Mount::ALL {
        let deployment = mount.start().await;
        let mut stable = open(&deployment, Channel::Stable, End::Wait).await;
        let mut canary = open(&deployment, Channel::Canary, End::Wait).await;
        for channel in Channel::ALL {
            deployment.breakpoint(channel).wait_for_arrival().await;
        }

        deployment.handle().roll_back();
        let drain = deployment.handle().drain(Channel::Canary);
        assert_eq!(drain.open(), 1, "{mount:?}");
        drain.close();

        let status = complete(canary.message()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{mount:?}");
        complete(drain.ended()).await;
        deployment.breakpoint(Channel::Stable).resume();
        assert!(complete(stable.message()).await.unwrap().is_none());
        let counted = final_outcomes(deployment.handle()).await;
        assert_eq!(counted, [Outcomes::success(1), Outcomes::cancelled(1)], "{mount:?}");
    }
}

#[tokio::test]
async fn closing_a_drain_waits_for_a_handler_that_has_not_answered() {
    let deployment = Mount::Server.start().await;
    deployment.send_all_to(Channel::Canary);
    let mut client = deployment.client().await;
    let ask = Ask { end: End::Wait.into(), ..Ask::default() };
    let call = tokio::spawn(async move { client.unary(ask).await });
    deployment.breakpoint(Channel::Canary).wait_for_arrival().await;

    deployment.handle().roll_back();
    let drain = deployment.handle().drain(Channel::Canary);
    drain.close();
    assert_eq!(drain.open(), 1);

    deployment.breakpoint(Channel::Canary).resume();
    assert_eq!(complete(call).await.unwrap().unwrap_err().code(), Code::Unavailable);
    complete(drain.ended()).await;
    let counted = final_outcomes(deployment.handle()).await;
    assert_eq!(counted, [Outcomes::NONE, Outcomes::cancelled(1)]);
}

/// Opens a stream on a channel and reads its first answer.
async fn open(deployment: &Deployment, channel: Channel, end: End) -> Streaming<Answer> {
    deployment.send_all_to(channel);
    let mut client = deployment.client().await;
    let ask = Ask { answers: 1, end: end.into(), ..Ask::default() };
    let mut answers = client.expand(ask).await.unwrap().into_inner();
    assert_eq!(complete(answers.message()).await.unwrap().unwrap().channel, channel.as_str());
    answers
}
