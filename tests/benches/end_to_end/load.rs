//! Callers that call one after another, and check every answer.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use axum::body::Body;
use canary_tests::{
    connect_http1_at,
    echo::{EchoClient, proto::Ask},
};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::SendRequest;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
}

impl Protocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// Callers with connections that stay open: one each over HTTP/1.1, one for all over gRPC.
pub(crate) struct Callers(Vec<Caller>);

enum Caller {
    Http(SendRequest<Body>),
    Grpc(EchoClient),
}

/// What a round of calls came to.
#[derive(Default)]
pub(crate) struct Load {
    /// Ascending.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) whole: Duration,
    pub(crate) from_canary: usize,
}

impl Callers {
    pub(crate) async fn connect(protocol: Protocol, address: SocketAddr) -> Result<Self> {
        let mut callers = Vec::with_capacity(CALLERS);
        match protocol {
            Protocol::Http => {
                for _ in 0..CALLERS {
                    callers.push(Caller::Http(connect_http1_at(address).await.0));
                }
            }
            Protocol::Grpc => {
                let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
                let client = EchoClient::new(channel);
                callers.extend((0..CALLERS).map(|_| Caller::Grpc(client.clone())));
            }
        }
        Ok(Self(callers))
    }

    /// Each calls `calls` times.
    pub(crate) async fn call(&mut self, calls: usize) -> Result<Load> {
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for mut caller in self.0.drain(..) {
            tasks.spawn(async move {
                let mut load = Load::default();
                for _ in 0..calls {
                    let start = Instant::now();
                    let is_canary = caller.call().await?;
                    load.latencies.push(start.elapsed());
                    load.from_canary += usize::from(is_canary);
                }
                anyhow::Ok((caller, load))
            });
        }
        let mut all = Load::default();
        while let Some(ended) = tasks.join_next().await {
            let (caller, load) = ended??;
            self.0.push(caller);
            all.latencies.extend(load.latencies);
            all.from_canary += load.from_canary;
        }
        all.whole = start.elapsed();
        all.latencies.sort();
        Ok(all)
    }
}

impl Caller {
    /// Whether the canary answered.
    async fn call(&mut self) -> Result<bool> {
        let answer = match self {
            Self::Http(sender) => {
                let request = Request::get("/hello").header("host", "localhost");
                sender.ready().await?;
                let response = sender.send_request(request.body(Body::empty())?).await?;
                let status = response.status();
                let body = response.into_body().collect().await?.to_bytes();
                ensure!(status == StatusCode::OK, "answered {status}: {body:?}");
                String::from_utf8(body.into()).context("the answer is no text")?
            }
            Self::Grpc(client) => {
                let ask = Ask { text: "hello".to_owned(), ..Ask::default() };
                let answer = client.unary(ask).await?.into_inner();
                ensure!(answer.text == "hello", "answered {answer:?}");
                answer.release
            }
        };
        match answer.as_str() {
            "v1" => Ok(false),
            "v2" => Ok(true),
            _ => bail!("answered {answer:?}, neither v1 nor v2"),
        }
    }
}

pub(crate) const CALLERS: usize = 8;
