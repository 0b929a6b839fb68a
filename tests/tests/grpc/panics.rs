use canary_tests::{
    deployment::{Deployment, Mount},
    echo::{
        EchoClient,
        proto::{Answer, Ask, End},
    },
    outcomes::{Outcomes, final_outcomes},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Streaming};
use tower_canary::Channel;

#[tokio::test]
async fn a_panic_in_the_canarys_handler_is_an_internal_error_of_that_call_only() {
    for mount in Mount::ALL {
        let deployment = mount.start().await;
        let mut client = deployment.client().await;
        let mut chat = Chat::start(&deployment, &mut client, Channel::Stable).await;

        deployment.send_all_to(Channel::Canary);
        let status = client.unary(panicking(0)).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{mount:?}");
        assert_eq!(status.metadata().get("x-canary-channel").unwrap(), "canary");

        chat.exchange().await;
        chat.end().await;
        client.unary(Ask::default()).await.unwrap();
        let canary = Outcomes { success: 1, ..Outcomes::panicked(1) };
        assert_eq!(
            final_outcomes(deployment.handle()).await,
            [Outcomes::success(1), canary],
            "{mount:?}"
        );
    }
}

#[tokio::test]
async fn a_panic_in_the_canarys_stream_ends_only_that_stream() {
    for mount in Mount::ALL {
        let deployment = mount.start().await;
        let mut client = deployment.client().await;
        let mut chat = Chat::start(&deployment, &mut client, Channel::Stable).await;

        deployment.send_all_to(Channel::Canary);
        let mut answers = client.expand(panicking(2)).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
        assert!(answers.message().await.unwrap().is_some());
        assert_eq!(answers.message().await.unwrap_err().code(), Code::Internal, "{mount:?}");

        chat.exchange().await;
        chat.end().await;
        client.unary(Ask::default()).await.unwrap();
        let canary = Outcomes { success: 1, ..Outcomes::panicked(1) };
        assert_eq!(
            final_outcomes(deployment.handle()).await,
            [Outcomes::success(1), canary],
            "{mount:?}"
        );
    }
}

/// An open call on the client's only connection. It fails if the connection breaks.
struct Chat {
    asks: mpsc::UnboundedSender<Ask>,
    answers: Streaming<Answer>,
}

impl Chat {
    async fn start(deployment: &Deployment, client: &mut EchoClient, channel: Channel) -> Self {
        deployment.send_all_to(channel);
        let (asks, receiver) = mpsc::unbounded_channel();
        let response = client.chat(UnboundedReceiverStream::new(receiver)).await.unwrap();
        let mut chat = Self { asks, answers: response.into_inner() };
        chat.exchange().await;
        chat
    }

    async fn exchange(&mut self) {
        self.asks.send(Ask { answers: 1, ..Ask::default() }).unwrap();
        assert!(self.answers.message().await.unwrap().is_some());
    }

    async fn end(mut self) {
        drop(self.asks);
        assert!(self.answers.message().await.unwrap().is_none());
    }
}

fn panicking(answers: u32) -> Ask {
    Ask { answers, end: End::Panic.into(), ..Ask::default() }
}
