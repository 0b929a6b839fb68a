//! Shared helpers.

use std::{future::pending, time::Duration};

use canary_controller::webhook::{Backoff, HttpTransport, WebhookClient};
use canary_rollout::plan::Webhook;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::timeout};

pub(crate) const SECRET: &str = "correct horse battery staple";

/// Returns a client over real sockets, with short pauses between attempts.
pub(crate) fn client() -> WebhookClient {
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
    let transport = HttpTransport::try_with_roots(CERTIFICATE).unwrap();
    WebhookClient::new(transport)
        .backoff(backoff)
        .secrets(|name| (name == "SECRET").then(|| SECRET.to_owned()))
}

/// Returns a webhook of a plan with these fields.
pub(crate) fn webhook(url: &str, fields: &Value) -> Webhook {
    let mut webhook = json!({ "url": url, "timeout": "20s", "retries": 0 });
    webhook.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(webhook).unwrap()
}

/// Panics if the future takes longer than a minute.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("the future should have ended")
}

/// A server that stops when it is dropped.
pub(crate) struct TestServer(
    #[expect(dead_code, reason = "dropping it stops the server")] JoinSet<()>,
);

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
