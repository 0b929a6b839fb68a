//! The time of calls to stable beside a faulty canary, compared with stable alone, over loopback
//! HTTP.
//!
//! `cargo bench -p canary-tests --bench faulty_canary`
//!
//! The cases alternate. In each case, a caller makes sequential calls to stable over one
//! connection, and these calls are timed. Other callers make 200 calls per second, which the layer
//! gives to the canary. In the case "stable alone", stable serves them as well. The line "stable
//! alone, again" shows the noise: the difference between two identical cases on this machine.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    panic, thread,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::get};
use canary_tests::{
    Client, Server,
    bench_rounds::{order, quartiles},
    connect_http1,
};
use http::Request;
use http_body_util::BodyExt;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tower_canary::{
    CanaryLayer, CanaryOptions, Channel, Weight,
    axum::{AxumBody, RouterExt},
    runtime::OnRuntime,
    select::{Condition, Select},
};
use tower_canary_mirror::{MirrorLayer, MirrorOptions};

struct Case {
    name: &'static str,
    server: Server,
    /// The median and the 99th percentile of each round, in nanoseconds.
    rounds: Vec<[f64; 2]>,
}

fn version() -> Router {
    Router::new().route("/", get(async || "stable")).route("/others", get(async || "any channel"))
}

fn alone(name: &'static str) -> Case {
    Case { name, server: Server::of_router(version()), rounds: Vec::new() }
}

/// A canary that gets all calls of the other callers, and none of the timed calls.
fn beside<C>(name: &'static str, canary: C, options: CanaryOptions) -> Case
where
    C: tower::Service<
            axum::extract::Request,
            Response = axum::response::Response,
            Error = std::convert::Infallible,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    let others = || Condition::path("/others");
    let options = options.select(others().always().or(others().not().never()));
    let layer = CanaryLayer::with_options("faulty", canary, options);
    layer.handle().set_weight(Weight::from_percent(50)).unwrap();
    Case { name, server: Server::of_router(version().canary(layer)), rounds: Vec::new() }
}

/// A slow canary that gets every request as a mirrored request.
fn mirrored(name: &'static str) -> Case {
    let slow = || {
        get(async || {
            tokio::time::sleep(Duration::from_millis(100)).await;
            "stable"
        })
    };
    let canary = Router::new().route("/", slow()).route("/others", slow());
    let options = MirrorOptions::new().share(Weight::FULL).time_limit(Duration::from_secs(1));
    let layer = MirrorLayer::with_options("faulty", canary, options);
    Case { name, server: Server::of_router(version().layer(layer)), rounds: Vec::new() }
}

fn cases(canary_runtime: &Runtime) -> Vec<Case> {
    let faulty = |handler| Router::new().route("/others", handler).with_state(());
    let hangs = || faulty(get(std::future::pending::<&'static str>));
    let panics = || faulty(get(async || -> &'static str { panic!("intentional panic") }));
    let blocks = faulty(get(async || {
        thread::sleep(Duration::from_millis(50));
        "done"
    }));
    let limited = || CanaryOptions::new().time_limit(Channel::Canary, Duration::from_millis(100));
    vec![
        alone("stable alone"),
        alone("stable alone, again"),
        beside("a healthy canary", version().with_state(()), CanaryOptions::new()),
        beside("hangs, 100 ms time limit", hangs(), limited()),
        beside("panics", panics(), CanaryOptions::new()),
        beside(
            "hangs, limit of 4 calls, sheds",
            hangs(),
            CanaryOptions::new().concurrency_limit(4),
        ),
        beside(
            "blocks its own runtime, both limits",
            AxumBody::new(OnRuntime::new(canary_runtime.handle().clone(), blocks)),
            limited().concurrency_limit(4),
        ),
        mirrored("slow, mirrored at 100%"),
    ]
}

impl Case {
    async fn measure(&mut self) {
        let others = tokio::spawn(call_from_others(Client::http2(&self.server)));
        let (mut sender, connection) = connect_http1(&self.server).await;
        let mut nanos = Vec::with_capacity(CALLS);
        for call in 0..WARM_UP + CALLS {
            let request =
                Request::get("/").header("host", "localhost").body(Body::empty()).unwrap();
            sender.ready().await.unwrap();
            let start = Instant::now();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "stable");
            if call >= WARM_UP {
                nanos.push(start.elapsed().as_secs_f64() * 1e9);
            }
        }
        drop(sender);
        connection.await.unwrap().unwrap();
        others.abort();
        nanos.sort_by(f64::total_cmp);
        self.rounds.push([nanos[CALLS / 2], nanos[CALLS * 99 / 100]]);
    }
}

async fn call_from_others(client: Client) {
    let mut ticks = interval(Duration::from_millis(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut calls = JoinSet::new();
    loop {
        ticks.tick().await;
        let client = client.clone();
        calls.spawn(async move {
            let request = Request::get("/others").body(Body::empty()).unwrap();
            if let Ok(response) = client.send(request).await {
                // An error means that the canary aborted the body.
                let _ = response.into_body().collect().await;
            }
        });
        while calls.try_join_next().is_some() {}
    }
}

fn main() {
    // The time of printing backtraces would be measured as well.
    panic::set_hook(Box::new(|panic| {
        if !panic.payload().is::<&str>() {
            eprintln!("{panic}");
        }
    }));
    let canary_runtime =
        Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut cases = cases(&canary_runtime);
        let count = cases.len();
        for round in 0..ROUNDS {
            for case in order(round, count) {
                cases[case].measure().await;
            }
        }
        let alone = cases[0].rounds.clone();
        println!(
            "{:<38} {:>8} {:>8}   {:<22} p99 / p99 alone",
            "", "p50 us", "p99 us", "p50 / p50 alone"
        );
        for case in &cases {
            let median =
                |index: usize| quartiles(case.rounds.iter().map(|round| round[index]).collect());
            let ratio = |index: usize| {
                let rounds = case.rounds.iter().zip(&alone);
                let [low, middle, high] =
                    quartiles(rounds.map(|(case, alone)| case[index] / alone[index]).collect());
                format!("{middle:.2} ({low:.2} to {high:.2})")
            };
            let [p50, p99] = [0, 1].map(|index| median(index)[1] / 1e3);
            println!("{:<38} {p50:>8.0} {p99:>8.0}   {:<22} {}", case.name, ratio(0), ratio(1));
        }
    });
    runtime.shutdown_background();
    canary_runtime.shutdown_background();
}

const ROUNDS: usize = 31;
const CALLS: usize = 2000;
const WARM_UP: usize = 100;
