//! Callers that make sequential calls and check every response.

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

    /// Returns the crate of the servers.
    pub(crate) const fn server(self) -> &'static str {
        match self {
            Self::Http => "axum",
            Self::Grpc => "tonic",
        }
    }
}

/// Callers with persistent connections: one per caller over HTTP/1.1, a shared one over gRPC.
pub(crate) struct Callers(Vec<Caller>);

enum Caller {
    Http(SendRequest<Body>),
    Grpc(EchoClient),
}

/// The results of a round of calls.
#[derive(Default)]
pub(crate) struct Load {
    /// In ascending order.
    pub(crate) latencies: Vec<Duration>,
    pub(crate) elapsed: Duration,
    pub(crate) from_canary: usize,
}

impl Callers {
    pub(crate) async fn connect(
        protocol: Protocol,
        address: SocketAddr,
        count: usize,
    ) -> Result<Self> {
        let mut callers = Vec::with_capacity(count);
        match protocol {
            Protocol::Http => {
                for _ in 0..count {
                    callers.push(Caller::Http(connect_http1_at(address).await.0));
                }
            }
            Protocol::Grpc => {
                let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
                let client = EchoClient::new(channel);
                callers.extend((0..count).map(|_| Caller::Grpc(client.clone())));
            }
        }
        Ok(Self(callers))
    }

    /// Makes `calls` calls by each caller.
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
        all.elapsed = start.elapsed();
        all.latencies.sort();
        Ok(all)
    }
}

impl Caller {
    /// Makes a call, and returns whether the canary served it.
    async fn call(&mut self) -> Result<bool> {
        let answer = match self {
            Self::Http(sender) => {
                let request = Request::get("/hello").header("host", "localhost");
                sender.ready().await?;
                let response = sender.send_request(request.body(Body::empty())?).await?;
                let status = response.status();
                let body = response.into_body().collect().await?.to_bytes();
                ensure!(status == StatusCode::OK, "unexpected response: {status}, {body:?}");
                String::from_utf8(body.into()).context("the response is not text")?
            }
            Self::Grpc(client) => {
                let ask = Ask { text: "hello".to_owned(), ..Ask::default() };
                let answer = client.unary(ask).await?.into_inner();
                ensure!(answer.text == "hello", "unexpected answer {answer:?}");
                answer.release
            }
        };
        match answer.as_str() {
            "v1" => Ok(false),
            "v2" => Ok(true),
            _ => bail!("unexpected answer {answer:?}, expected v1 or v2"),
        }
    }
}

pub(crate) const CALLERS: usize = 8;
