//! Webhooks over real sockets and in real time: a gate, and a receiver of notifications.

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

use crate::support::{Shop, plan, stored::test_store};

const ROOTS: &str = include_str!("../../testdata/self-signed.pem");

type Received = (HeaderMap, Bytes);

/// A server that responds to the first request with 202 (not yet), and to all others with 200.
async fn server() -> (String, mpsc::UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (send, received) = mpsc::unbounded_channel();
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let respond = |State((send, count)): State<(
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
    let app = Router::new().fallback(respond).with_state((send, count));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, received)
}

fn client() -> WebhookClient {
    WebhookClient::new(HttpTransport::try_with_roots(ROOTS).unwrap())
        .secrets(|name| (name == "SECRET").then(|| "correct horse battery staple".to_owned()))
}

fn body((headers, body): &Received) -> serde_json::Value {
    let header = |name: &str| headers[name].to_str().unwrap();
    let (timestamp, delivery) = (header("x-canary-timestamp"), header("x-canary-delivery"));
    let (secret, signature) = (b"correct horse battery staple", header("x-canary-signature"));
    let now = timestamp.parse().unwrap();
    verify(secret, timestamp, delivery, signature, body, now).unwrap();
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn a_gate_opens_on_the_second_response_and_events_are_sent_in_order() {
    let ((gate, mut asked), (receiver, mut notified)) = (server().await, server().await);
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
    let controller = Controller::new(test_store())
        .interval(Duration::from_millis(20))
        .webhooks(client())
        .page("https://ops.example/canary".parse().unwrap());
    let rollout = controller.add(Managed::new(shop.canary.clone(), plan(&toml))).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    let mut status = rollout.watch();
    let promotion = async {
        while status.borrow_and_update().rollout.phase() != Phase::Promoted {
            shop.calls(5).await;
            status.changed().await.unwrap();
        }
    };
    timeout(Duration::from_secs(30), promotion).await.unwrap();
    controller.stop().await;

    let questions: Vec<_> = [asked.recv().await.unwrap(), asked.recv().await.unwrap()]
        .iter()
        .map(|received| body(received)["id"].clone())
        .collect();
    assert_eq!(questions[0], questions[1], "both requests have the id of the question");
    assert!(asked.try_recv().is_err(), "the gate is asked exactly twice");

    let mut events = Vec::new();
    let mut last = 0;
    while let Ok(received) = notified.try_recv() {
        let body = body(&received);
        assert_eq!(body["page"], "https://ops.example/canary/#/shop");
        let event = body["event"].clone();
        let number = event["number"].as_u64().unwrap();
        if number > last {
            // The receiver has accepted the event with its 202.
            events.push(event["kind"].as_str().unwrap().to_owned());
        }
        last = number;
    }
    assert_eq!(events, ["started", "gate_asked", "gate_opened", "step_begun", "promoted"]);
}
