//! Measures the latency of stable over sockets beside a faulty canary that gets mirrored requests.
//!
//! `cargo bench -p canary-tests --bench mirror`
//!
//! Each case has its own server. The cases take turns of a few hundred calls, so that a slow moment
//! of the machine affects all of them. The last column is the result: the difference from stable
//! alone in the same round, and its range in the middle half of the rounds.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use axum::routing::get;
use axum::{Router, extract::Request};
use canary_tests::{Server, connect_http1};
use http_body_util::BodyExt;
use hyper::client::conn::http1::SendRequest;
use tokio::runtime::Handle;
use tower_canary::Weight;
use tower_canary_mirror::{MirrorHandle, MirrorLayer, MirrorOptions};

/// Does about as much work as a small handler.
async fn stable() -> String {
    tokio::task::yield_now().await;
    (0..200_u64).map(|n| n.to_string()).collect()
}

fn version() -> Router {
    Router::new().route("/", get(stable))
}

struct Case {
    name: &'static str,
    server: Server,
    mirror: Option<MirrorHandle>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Case {
    fn alone(name: &'static str) -> Self {
        let server = Server::of_router(version());
        Self { name, server, mirror: None, p50: Vec::new(), p99: Vec::new() }
    }

    fn mirrored(name: &'static str, share: Weight, runtime: &Handle, canary: Router) -> Self {
        let options = MirrorOptions::new()
            .share(share)
            .time_limit(Duration::from_secs(1))
            .runtime(runtime.clone());
        let layer = MirrorLayer::with_options("bench", canary, options);
        let mirror = Some(layer.handle());
        let server = Server::of_router(version().layer(layer));
        Self { name, server, mirror, p50: Vec::new(), p99: Vec::new() }
    }

    async fn round(&mut self) {
        let connections = (0..CONNECTIONS).map(|_| connect_http1(&self.server));
        let mut callers = Vec::new();
        for connection in connections {
            let (sender, _task) = connection.await;
            callers.push(tokio::spawn(calls(sender)));
        }
        let mut latencies = Vec::new();
        for caller in callers {
            latencies.extend(caller.await.unwrap());
        }
        latencies.sort_by(f64::total_cmp);
        self.p50.push(latencies[latencies.len() / 2]);
        self.p99.push(latencies[latencies.len() * 99 / 100]);
    }
}

/// Makes sequential calls and returns their latencies in microseconds.
async fn calls(mut sender: SendRequest<axum::body::Body>) -> Vec<f64> {
    let mut latencies = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let request = Request::get("/").header("host", "bench").body(axum::body::Body::empty());
        let start = Instant::now();
        sender.ready().await.unwrap();
        let response = sender.send_request(request.unwrap()).await.unwrap();
        response.into_body().collect().await.unwrap();
        latencies.push(start.elapsed().as_secs_f64() * 1e6);
    }
    latencies
}

#[tokio::main]
async fn main() {
    let slow = || {
        let handler = async || {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stable().await
        };
        Router::new().route("/", get(handler))
    };
    let hanging =
        || Router::new().route("/", get(async || -> String { std::future::pending().await }));
    let panicking = || {
        let handler =
            async || -> String { std::panic::resume_unwind(Box::new("a panic of the canary")) };
        Router::new().route("/", get(handler))
    };
    let blocking = || {
        let handler = async || {
            std::thread::sleep(Duration::from_millis(100));
            stable().await
        };
        Router::new().route("/", get(handler))
    };
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let other = other.unwrap();
    let (same, own) = (&Handle::current(), other.handle());
    let one = Weight::from_percent(1);
    let mut cases = [
        Case::alone("stable alone"),
        Case::alone("stable alone, again"),
        Case::mirrored("at 0%", Weight::ZERO, same, version()),
        Case::mirrored("healthy at 1%", one, same, version()),
        Case::mirrored("slow at 1%", one, same, slow()),
        Case::mirrored("healthy at 100%", Weight::FULL, same, version()),
        Case::mirrored("slow at 100%", Weight::FULL, same, slow()),
        Case::mirrored("hangs at 100%", Weight::FULL, same, hanging()),
        Case::mirrored("panics at 100%", Weight::FULL, same, panicking()),
        Case::mirrored("blocks its own threads", Weight::FULL, own, blocking()),
    ];
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.round().await;
        }
    }
    let alone = cases[0].p99.clone();
    println!("{:<24} {:>8} {:>8}   p99 beside stable alone", "", "p50 us", "p99 us");
    for case in &mut cases {
        let mut added: Vec<_> =
            case.p99.iter().zip(&alone).map(|(one, other)| one - other).collect();
        let [p50, p99, middle] = [&mut case.p50, &mut case.p99, &mut added].map(|values| {
            values.sort_by(f64::total_cmp);
            values[ROUNDS / 2]
        });
        let (low, high) = (added[ROUNDS / 4], added[ROUNDS * 3 / 4]);
        let (name, counts) = (case.name, case.mirror.as_ref().map(MirrorHandle::counts));
        let mirrored = counts.map_or(0, |counts| counts.mirrored - counts.dropped.total());
        println!(
            "{name:<24} {p50:>8.0} {p99:>8.0}   {middle:>+5.0} ({low:>+5.0} to {high:>+5.0}), {mirrored} sent"
        );
    }
    other.shutdown_background();
}

const ROUNDS: usize = 21;
const CONNECTIONS: usize = 4;
const CALLS: usize = 400;
