//! Webhooks, over real sockets and in real time: a gate, and a receiver of all that happens.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State};
use canary_controller::{
    Controller, Managed,
    webhook::{HttpTransport, WebhookClient, verify},
};
use canary_rollout::{Actor, Phase};
use http::{HeaderMap, StatusCode};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use crate::{
    support::test_store::TestStore,
    support::{Shop, plan},
};

const ROOTS: &str = include_str!("../../testdata/self-signed.pem");

type Received = (HeaderMap, Bytes);

/// A server that answers the first request 202, not yet, and all others 200.
async fn server() -> (String, mpsc::UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (send, received) = mpsc::unbounded_channel();
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let answer = |State((send, count)): State<(
        mpsc::UnboundedSender<Received>,
        std::sync::Arc<AtomicUsize>,
    )>,
                  headers: HeaderMap,
                  body: Bytes| async move {
        let _ = send.send((headers, body));
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            StatusCode::ACCEPTED
        } else {
            StatusCode::OK
        }
    };
    let app = Router::new().fallback(answer).with_state((send, count));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, received)
}

fn client() -> WebhookClient {
    WebhookClient::new(HttpTransport::try_with_roots(ROOTS).unwrap())
        .secrets(|name| (name == "SECRET").then(|| "correct horse battery staple".to_owned()))
}

fn body((headers, body): &Received) -> serde_json::Value {
    let header = |name: &str| headers[name].to_str().unwrap();
    let (timestamp, signature) = (header("x-canary-timestamp"), header("x-canary-signature"));
    let secret = "correct horse battery staple";
    verify(secret.as_bytes(), timestamp, signature, body, timestamp.parse().unwrap()).unwrap();
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn a_webhook_that_says_not_yet_and_then_yes_opens_and_all_that_happens_is_told_in_order() {
    let ((gate, mut asked), (receiver, mut told)) = (server().await, server().await);
    let toml = format!(
        r#"
        start.gates = ["ci"]
        steps = [{{ weight = "50%", min_calls = 1, deadline = "1s" }}]
        on_inconclusive = "advance"
        gates.ci = {{ kind.webhook = {{ url = "{gate}", secret_env = "SECRET" }}, every = "1s" }}
        notify.ops.webhook = {{ url = "{receiver}", secret_env = "SECRET" }}
        "#
    );
    let shop = Shop::new("v2");
    let controller =
        Controller::new(TestStore::new()).interval(Duration::from_millis(20)).webhooks(client());
    let rollout = controller.add(Managed::new(shop.canary.clone(), plan(&toml))).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    let mut status = rollout.watch();
    let story = async {
        while status.borrow_and_update().rollout.phase() != Phase::Promoted {
            shop.calls(5).await;
            status.changed().await.unwrap();
        }
    };
    timeout(Duration::from_secs(30), story).await.unwrap();
    controller.stop().await;

    let questions: Vec<_> = [asked.recv().await.unwrap(), asked.recv().await.unwrap()]
        .iter()
        .map(|received| body(received)["id"].clone())
        .collect();
    assert_eq!(questions[0], questions[1], "the same question");
    assert!(asked.try_recv().is_err(), "asked twice, and not once more");

    let mut events = Vec::new();
    let mut last = 0;
    while let Ok(received) = told.try_recv() {
        let event = body(&received)["event"].clone();
        let number = event["number"].as_u64().unwrap();
        if number > last {
            // A receiver that answers 202 has got it.
            events.push(event["kind"].as_str().unwrap().to_owned());
        }
        last = number;
    }
    assert_eq!(events, ["started", "gate_asked", "gate_opened", "step_begun", "promoted"]);
}
