//! Tests of the built shop over real sockets.
#![allow(clippy::unwrap_used)]

mod support;

use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::{io::AsyncBufReadExt as _, time::timeout};
use tokio_tungstenite::tungstenite::Message;
use tonic::transport::{Channel, Endpoint};

use self::{
    proto::{Price, PriceRequest, prices_client::PricesClient},
    support::{HttpResponse, Shop, TIMEOUT},
};

mod proto {
    #![allow(unreachable_pub, unused_qualifications, reason = "generated")]
    tonic::include_proto!("shop");
}

impl Shop {
    async fn set_weight(&self, weight: &str) -> HttpResponse {
        self.command(&json!({"command": "set_weight", "weight": weight})).await
    }

    async fn promote(&self) {
        let promoted = self.command(&json!({"command": "promote_fully"})).await;
        assert_eq!(promoted.status, StatusCode::OK, "{}", promoted.text);
    }

    async fn roll_back(&self) {
        let rolled_back = self.command(&json!({"command": "roll_back"})).await;
        assert_eq!(rolled_back.status, StatusCode::OK, "{}", rolled_back.text);
    }

    fn prices(&self) -> PricesClient<Channel> {
        let shop = Endpoint::from_shared(format!("http://{}", self.addr)).unwrap();
        PricesClient::new(shop.connect_lazy())
    }

    async fn price(&self) -> (Price, String) {
        let response = self.prices().get(PriceRequest { product_id: 1 }).await.unwrap();
        let channel = response.metadata().get("x-canary-channel").unwrap();
        let channel = channel.to_str().unwrap().to_owned();
        (response.into_inner(), channel)
    }
}

#[tokio::test]
async fn both_versions_serve_http_and_grpc_on_one_port() {
    let shop = Shop::start(&["--weight", "0%"]).await;
    for (channel, release, cents) in [("stable", "v1", 2_500), ("canary", "v2", 2_250)] {
        if channel == "canary" {
            shop.promote().await;
        }
        let product = shop.get("/products/1").await;
        assert_eq!(product.headers["x-canary-channel"], channel);
        assert_eq!(product.headers["x-canary-release"], release);
        assert!(product.text.contains(&format!(r#""cents":{cents}"#)), "{}", product.text);

        let order = r#"{"items": [{"product": 1, "quantity": 2}]}"#;
        let receipt = shop.call(Method::POST, "/checkout", order).await;
        assert_eq!(receipt.text, format!(r#"{{"total_cents":{}}}"#, 2 * cents));

        assert_eq!(shop.price().await, (Price { product_id: 1, cents }, channel.to_owned()));
    }
}

#[tokio::test]
async fn operators_can_use_grpc_on_the_same_port() {
    let shop = Shop::start(&["--weight", "0%"]).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", shop.addr)).unwrap();
    let mut client = tonic::client::Grpc::new(endpoint.connect_lazy());
    let list = http::uri::PathAndQuery::from_static("/canary.v1.Control/List");
    client.ready().await.unwrap();
    // The messages are not needed here: an empty one is a valid request, and unknown fields are skipped.
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    client.unary(tonic::Request::new(()), list, codec).await.unwrap();
}

#[tokio::test]
async fn metrics_count_the_calls_of_each_channel() {
    let shop = Shop::start(&["--weight", "0%"]).await;
    shop.get("/products/1").await;
    shop.promote().await;
    shop.get("/products/1").await;
    shop.price().await;

    let metrics = shop.get("/metrics").await.text;
    for line in [
        r#"canary_requests_total{canary="shop",channel="stable",outcome="success"} 1"#,
        r#"canary_requests_total{canary="shop",channel="canary",outcome="success"} 2"#,
        r#"canary_requests_total{canary="shop",channel="canary",outcome="failure"} 0"#,
        r#"canary_weight_ratio{canary="shop"} 1"#,
        r#"canary_release_info{canary="shop",channel="canary",release="v2"} 1"#,
        r#"canary_request_duration_seconds_bucket{canary="shop",channel="canary",le="+Inf"} 2"#,
    ] {
        assert!(metrics.lines().any(|has| has == line), "no {line} in:\n{metrics}");
    }
}

#[tokio::test]
async fn rejected_commands_return_the_reason() {
    let shop = Shop::start(&["--weight", "5%"]).await;
    let invalid = shop.set_weight("101%").await;
    assert_eq!(invalid.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(invalid.text.contains(r#"weight \"101%\" is above 100%"#), "{}", invalid.text);

    shop.command(&json!({"command": "halt", "reason": "bad totals"})).await;
    for command in ["start", "promote"] {
        let rejected = shop.command(&json!({"command": command})).await;
        assert_eq!(rejected.status, StatusCode::CONFLICT);
        assert!(rejected.text.contains("lift the halt, then start"), "{}", rejected.text);
    }

    for command in ["lift_halt", "start"] {
        let accepted = shop.command(&json!({"command": command})).await;
        assert_eq!(accepted.status, StatusCode::OK, "{command}: {}", accepted.text);
    }
    let set = shop.set_weight("5%").await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    assert_eq!(
        shop.view().await["summary"].as_str().unwrap().split(':').next(),
        Some("by hand at 5%")
    );
}

/// The weight is at once that of the command line, and a failing version 2 keeps it: no plan says what
/// happens then.
#[tokio::test]
async fn without_a_plan_only_operators_change_the_weight() {
    let mut shop = Shop::start(&["--v2-error-rate", "100%", "--load", "200"]).await;
    assert_eq!(shop.view().await["weight"], "5%");
    shop.wait_for(|view| view["judgment"]["verdict"] == "degraded").await;
    assert_eq!(shop.view().await["weight"], "5%");
    shop.roll_back().await;
    assert_eq!(shop.get("/products/1").await.headers["x-canary-channel"], "stable");
    shop.process.kill().await.unwrap();
}

#[tokio::test]
async fn a_rollback_closes_the_web_sockets_of_the_canary() {
    let shop = Shop::start(&["--weight", "100%"]).await;
    let url = format!("ws://{}/ws", shop.addr);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let greeting = socket.next().await.unwrap().unwrap();
    assert_eq!(greeting.to_text().unwrap(), "served by v2, the canary");
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().to_text().unwrap(), "hello");

    shop.wait_for(|view| view["channels"]["canary"]["open"] == 1).await;
    shop.roll_back().await;
    let last = timeout(TIMEOUT, socket.next()).await.expect("the socket should close");
    let Message::Close(Some(close)) = last.unwrap().unwrap() else {
        panic!("the socket was not closed");
    };
    assert_eq!(u16::from(close.code), 1012);
}

#[tokio::test]
async fn a_panic_of_version_2_fails_one_call() {
    let shop = Shop::start(&["--weight", "100%", "--v2-panic-rate", "100%"]).await;
    let answer = shop.get("/products/1").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.headers["x-canary-channel"], "canary");

    shop.roll_back().await;
    assert_eq!(shop.get("/products/1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_load_generator_prints_a_report_and_stops_in_time() {
    let options = ["--weight", "50%", "--v2-error-rate", "100%", "--load", "100", "--for", "2"];
    let mut shop = Shop::start(&options).await;
    let mut lines = Vec::new();
    let mut output = shop.output.lines();
    while let Some(line) = output.next_line().await.unwrap() {
        lines.push(line);
    }
    assert!(shop.process.wait().await.unwrap().success());

    let total = lines.last().unwrap();
    let [_, stable, canary] = total.split('│').collect::<Vec<_>>().try_into().unwrap();
    let errors =
        |channel: &str| -> u64 { channel.split_whitespace().nth(1).unwrap().parse().unwrap() };
    assert!(total.starts_with("total"), "{total}");
    // gRPC calls that the end of the run interrupts can fail on stable.
    assert!(errors(stable) * 10 < errors(canary), "{total}");
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_ends_the_shop_while_a_stream_is_open() {
    let mut shop = Shop::start(&["--weight", "0%"]).await;
    let watch = shop.prices().watch(PriceRequest { product_id: 1 }).await.unwrap();
    let mut watch = watch.into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().cents, 2_500);

    let pid = shop.process.id().unwrap().to_string();
    assert!(
        tokio::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
    while watch.message().await.unwrap().is_some() {}
    let ended = timeout(TIMEOUT, shop.process.wait()).await.expect("the shop should end");
    assert!(ended.unwrap().success());
}
