//! What every test needs.

use std::{future::pending, time::Duration};

use canary_controller::webhook::{Backoff, HttpTransport, WebhookClient};
use canary_rollout::Webhook;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout};

pub(crate) const SECRET: &str = "correct horse battery staple";

/// Over real sockets, with pauses that nobody notices.
pub(crate) fn client() -> WebhookClient {
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
    let transport = HttpTransport::try_with_roots(CERTIFICATE).unwrap();
    WebhookClient::new(transport)
        .backoff(backoff)
        .secrets(|name| (name == "SECRET").then(|| SECRET.to_owned()))
}

/// A plan's webhook, of which the fields that matter are given.
pub(crate) fn webhook(url: &str, fields: &Value) -> Webhook {
    let mut webhook = json!({ "url": url, "timeout": "20s", "retries": 0 });
    webhook.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(webhook).unwrap()
}

/// Fails instead of waiting for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("this should have happened by now")
}

/// A server that ends with the test.
pub(crate) struct TestServer(#[expect(dead_code, reason = "it is dropped")] JoinSet<()>);

impl TestServer {
    pub(crate) fn spawn(serve: impl Future<Output = ()> + Send + 'static) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(serve);
        Self(tasks)
    }
}

pub(crate) async fn hang<T>() -> T {
    pending().await
}

pub(crate) const CERTIFICATE: &str = include_str!("../../testdata/self-signed.pem");
pub(crate) const KEY: &str = include_str!("../../testdata/self-signed.key.pem");
