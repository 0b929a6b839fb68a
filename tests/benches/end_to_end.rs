//! What a server with a canary serves, against the same server without: over loopback sockets, HTTP/1.1
//! by axum and gRPC by tonic, the cases taking turns in one run.
//!
//! `cargo bench -p canary-tests --bench end_to_end`
//!
//! Eight callers call one after another, clients and servers in one process. The lines "again" tell how
//! far two equal servers are apart on this machine: the noise.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use axum::{Router, body::Body, routing::get};
use canary_tests::{
    Server, connect_http1,
    echo::{Echo, EchoClient, proto::Ask},
    gate::Gate,
    rounds::{order, quartiles},
    serving::Serving,
};
use http::Request;
use http_body_util::BodyExt;
use tokio::{runtime::Builder, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::Routes, transport::Endpoint};
use tower_canary::{CanaryLayer, CanaryOptions, Tags, Weight, axum::RouterExt};

struct Case {
    name: &'static str,
    server: Kind,
    /// Calls a second, and seconds at the 99th percentile, for each round.
    rounds: Vec<[f64; 2]>,
}

enum Kind {
    Http(Server),
    Grpc { _server: Serving, client: EchoClient },
}

fn version() -> Router {
    Router::new().route("/hello", get(async || "hello"))
}

fn grpc_version() -> Routes {
    Routes::new(Echo::new("v1", std::sync::Arc::new(Gate::default())).into_server())
}

fn layer<C: 'static>(canary: C, tags: Tags) -> CanaryLayer<C> {
    let options = CanaryOptions::new().tags(tags);
    let layer = CanaryLayer::with_options("bench", canary, options);
    layer.handle().set_weight(Weight::from_percent(5)).unwrap();
    layer
}

fn http(name: &'static str, tags: Option<Tags>) -> Case {
    let router = match tags {
        Some(tags) => version().canary(layer(version().with_state(()), tags)),
        None => version(),
    };
    Case { name, server: Kind::Http(Server::of_router(router)), rounds: Vec::new() }
}

async fn grpc(name: &'static str, tags: Option<Tags>) -> Case {
    let server = Serving::start(|listener| async {
        let incoming = TcpListenerStream::new(listener);
        let mut server = tonic::transport::Server::builder();
        let served = match tags {
            Some(tags) => {
                let mut server = server.layer(layer(grpc_version(), tags));
                server.add_routes(grpc_version()).serve_with_incoming(incoming).await
            }
            None => server.add_routes(grpc_version()).serve_with_incoming(incoming).await,
        };
        served.unwrap();
    });
    let server = server.await;
    let endpoint = Endpoint::from_shared(server.url("")).unwrap();
    let client = EchoClient::new(endpoint.connect().await.unwrap());
    Case { name, server: Kind::Grpc { _server: server, client }, rounds: Vec::new() }
}

impl Case {
    async fn measure(&mut self) {
        let mut callers = JoinSet::new();
        let start = Instant::now();
        for _ in 0..CALLERS {
            match &self.server {
                Kind::Http(server) => {
                    let (sender, _) = connect_http1(server).await;
                    callers.spawn(call_http(sender));
                }
                Kind::Grpc { client, .. } => {
                    callers.spawn(call_grpc(client.clone()));
                }
            }
        }
        let mut latencies = callers.join_all().await.concat();
        let whole = start.elapsed().as_secs_f64();
        latencies.sort();
        let p99 = latencies[latencies.len() * 99 / 100].as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        self.rounds.push([latencies.len() as f64 / whole, p99]);
    }
}

async fn call_http(mut sender: hyper::client::conn::http1::SendRequest<Body>) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let start = Instant::now();
        let request = Request::get("/hello").header("host", "localhost").body(Body::empty());
        sender.ready().await.unwrap();
        let response = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
        latencies.push(start.elapsed());
    }
    latencies
}

async fn call_grpc(mut client: EchoClient) -> Vec<Duration> {
    let mut latencies = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let start = Instant::now();
        let ask = Ask { text: "hello".to_owned(), ..Ask::default() };
        assert_eq!(client.unary(ask).await.unwrap().into_inner().text, "hello");
        latencies.push(start.elapsed());
    }
    latencies
}

fn main() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut cases = [
            http("axum", None),
            http("axum, again", None),
            http("axum, canary at 5 %", Some(Tags::header_only())),
            http("axum, canary at 5 %, default tags", Some(Tags::default())),
            grpc("tonic", None).await,
            grpc("tonic, again", None).await,
            grpc("tonic, canary at 5 %", Some(Tags::header_only())).await,
            grpc("tonic, canary at 5 %, default tags", Some(Tags::default())).await,
        ];
        let count = cases.len();
        for case in &mut cases {
            case.measure().await;
            case.rounds.clear();
        }
        for round in 0..ROUNDS {
            for case in order(round, count) {
                cases[case].measure().await;
            }
        }
        println!(
            "{:<36} {:>8} {:>8}   {:<22} p99 to p99",
            "", "calls/s", "p99 us", "calls/s to calls/s"
        );
        for (position, case) in cases.iter().enumerate() {
            let direct = &cases[position / 4 * 4].rounds;
            let of =
                |which: usize| quartiles(case.rounds.iter().map(|round| round[which]).collect());
            let ratio = |which: usize| {
                let rounds = case.rounds.iter().zip(direct);
                let [low, middle, high] =
                    quartiles(rounds.map(|(case, direct)| case[which] / direct[which]).collect());
                format!("{middle:.3} ({low:.2} to {high:.2})")
            };
            let [rate, p99] = [of(0)[1], of(1)[1] * 1e6];
            println!("{:<36} {rate:>8.0} {p99:>8.0}   {:<22} {}", case.name, ratio(0), ratio(1));
        }
    });
    runtime.shutdown_background();
}

const ROUNDS: usize = 61;
const CALLERS: usize = 8;
const CALLS: usize = 250;
