//! A server that records webhooks.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};

use crate::support::{TestServer, soon};

pub(crate) struct WebhookServer {
    pub(crate) url: String,
    requests: mpsc::UnboundedReceiver<Received>,
    _server: TestServer,
}

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl WebhookServer {
    /// Starts a server that answers by the index of the request.
    pub(crate) async fn start<R>(answer: impl Fn(usize) -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, answer)
    }

    /// Starts a server that answers all requests with this status.
    pub(crate) async fn of_status(status: u16) -> Self {
        Self::start(move |_| async move { StatusCode::from_u16(status).unwrap().into_response() })
            .await
    }

    pub(crate) fn on<R>(
        listener: TcpListener,
        answer: impl Fn(usize) -> R + Send + Sync + 'static,
    ) -> Self
    where
        R: Future<Output = Response> + Send + 'static,
    {
        let url = format!("http://{}/hook?token=hush", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        let count = std::sync::atomic::AtomicUsize::new(0);
        let shared = std::sync::Arc::new((sender, count, answer));
        let serve = move |request: Request| {
            let shared = std::sync::Arc::clone(&shared);
            async move {
                let (sender, count, answer) = &*shared;
                let (head, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
                let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let _ = sender.send(Received { headers: head.headers, body });
                answer(number).await
            }
        };
        let app = Router::new().fallback(serve);
        let server = TestServer::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, requests, _server: server }
    }

    pub(crate) async fn next(&mut self) -> Received {
        soon(self.requests.recv()).await.unwrap()
    }

    /// Returns the number of received requests that `next` has not returned.
    pub(crate) fn unread(&mut self) -> usize {
        std::iter::from_fn(|| self.requests.try_recv().ok()).count()
    }
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) fn reply(status: u16, body: impl Into<Body>) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, body.into()).into_response()
}
