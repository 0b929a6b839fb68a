use canary_tests::{
    deployment::{Deployment, Mount},
    echo::proto::{Ask, End},
};
use tower_canary::{
    CanaryOptions, Channel, Rating, Weight, counts::RatingCounts, feedback::FeedbackOptions,
};

const EVENT: &str = "answered";

async fn start(mount: Mount) -> Deployment {
    let feedback = FeedbackOptions::new().event(EVENT);
    mount.start_with(CanaryOptions::new().feedback(feedback)).await
}

#[tokio::test]
async fn a_handler_rates_its_call_independently_of_the_status() {
    for mount in Mount::ALL {
        let deployment = start(mount).await;
        for channel in Channel::ALL {
            deployment.send_all_to(channel);
            let mut client = deployment.client().await;
            for text in ["hello", "", "again"] {
                let ask = Ask { text: text.to_owned(), end: End::Return.into(), ..Ask::default() };
                client.unary(ask).await.unwrap();
            }
        }
        let ratings = deployment.handle().counts().ratings;
        let answered = ratings.event(EVENT).unwrap();
        for (weight, channel) in [(Weight::ZERO, Channel::Stable), (Weight::FULL, Channel::Canary)]
        {
            let rated = answered.evidence()[&weight][channel];
            assert_eq!(rated, RatingCounts { total: 3, adverse: 1 }, "{mount:?} {channel}");
            assert_eq!(answered.total(channel), rated);
        }
        for channel in Channel::ALL {
            assert_eq!(ratings.feedback.total(channel).rated(Rating::Bad), 1, "{mount:?}");
        }
    }
}
