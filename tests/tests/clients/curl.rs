use std::io;

use canary_tests::{
    deployment::{Deployment, Mount, release},
    outcomes::{Outcomes, final_outcomes},
    skip::skip,
};
use tokio::process::Command;
use tower_canary::Channel;

#[tokio::test]
async fn curl_gets_the_requested_share_and_is_counted() {
    const CALLS: u64 = 400;
    // Five standard deviations, of 8.7 calls each, around 25%.
    for (weight, allowed) in [("0%", 0..=0), ("25%", 56..=144), ("100%", CALLS..=CALLS)] {
        let deployment = Mount::OnePort.start().await;
        deployment.handle().set_weight(weight.parse().unwrap()).unwrap();

        let path = format!("/hello?[1-{CALLS}]");
        let Some(seen) = curl(&deployment, "--http1.1", &path).await else {
            return skip("curl", "`curl` is not on the PATH");
        };

        let [stable, canary] = seen;
        assert_eq!(stable + canary, CALLS, "{weight}");
        assert!(allowed.contains(&canary), "{canary} of {CALLS} at {weight}");
        assert_eq!(
            final_outcomes(deployment.handle()).await,
            seen.map(Outcomes::success),
            "{weight}"
        );
    }
}

#[tokio::test]
async fn curl_gets_both_channels_over_http2() {
    let deployment = Mount::OnePort.start().await;
    for (channel, expected) in [(Channel::Stable, [1, 0]), (Channel::Canary, [0, 1])] {
        deployment.send_all_to(channel);
        // One process per call, since curl 7.88 (Debian) cannot reuse such a connection.
        for _ in 0..5 {
            let seen = curl(&deployment, "--http2-prior-knowledge", "/hello").await;
            let Some(seen) = seen else {
                return skip("curl", "`curl` is not on the PATH");
            };
            assert_eq!(seen, expected);
        }
    }
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::success(5); 2]);
}

#[tokio::test]
async fn failures_of_curls_calls_are_counted_for_their_channel() {
    let deployment = Mount::OnePort.start().await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        for path in ["/status/404?[1-5]", "/status/503?[1-7]"] {
            if curl(&deployment, "--http1.1", path).await.is_none() {
                return skip("curl", "`curl` is not on the PATH");
            }
        }
    }
    let counted = Outcomes { failure: 7, ..Outcomes::success(5) };
    assert_eq!(final_outcomes(deployment.handle()).await, [counted; 2]);
}

/// Requests all URLs of a pattern by curl, and returns the number of responses tagged with stable
/// and with the canary.
async fn curl(deployment: &Deployment, version: &str, path: &str) -> Option<[u64; 2]> {
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--noproxy", "*", "--silent", "--show-error", "--include"]);
    curl.args(["--max-time", "60", "--write-out", "\n", version]);
    let output = match curl.arg(deployment.server().url(path)).kill_on_drop(true).output().await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let output = String::from_utf8(output.stdout).unwrap();
    Some(Channel::ALL.map(|channel| {
        let count = |wanted: &str| output.lines().filter(|line| *line == wanted).count() as u64;
        let tags = count(&format!("x-canary-channel: {channel}"));
        if path.starts_with("/hello") {
            assert_eq!(
                count(release(channel)),
                tags,
                "the tag differs from the release that responded"
            );
        }
        tags
    }))
}
