//! A shop whose second version is a canary: HTTP and gRPC on one port, faults to order, and a load that
//! shows what the canary does with them.

mod app;
mod catalog;
mod cli;
mod control;
mod faults;
mod live;
mod load;
mod logs;
mod report;
mod rollout;
mod serve;
mod v1;
mod v2;

mod proto {
    #![allow(unreachable_pub, unused_qualifications, reason = "generated")]
    tonic::include_proto!("shop");
}

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;
use tokio::net::TcpListener;
use tower_canary::{CanaryLayer, CanaryOptions, Tags};

use self::{cli::Options, faults::Faults, report::Report, rollout::Rollout};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    logs::install();
    let prometheus = app::install_prometheus()?;

    let layer = CanaryLayer::with_options(
        "shop",
        v2::router(Faults::from(&options)),
        CanaryOptions::new()
            .stable_release("v1")
            .canary_release("v2")
            .tags(Tags::default().release_header()),
    );
    let canary = layer.handle();
    canary.set_weight(options.first_weight())?;
    let app = app::router(v1::router(), layer, prometheus);

    let listener = TcpListener::bind(options.addr)
        .await
        .with_context(|| format!("cannot listen on {}", options.addr))?;
    let addr = listener.local_addr()?;
    greet(addr, &options);

    let rollout = match &options.plan {
        Some(plan) => Some(Rollout::begin(canary.clone(), plan, options.state.clone()).await?),
        None => None,
    };
    let stop = asked_to_stop_or_done(options.stop_after(), rollout.as_ref());
    let served = match options.load {
        None => serve::until(stop, listener, app, &canary).await,
        Some(per_second) => {
            let mut report = Report::new(canary.clone());
            let stop_or_load = async {
                tokio::select! {
                    biased; // The last second's line comes before the stop.
                    ended = load::run(addr, per_second, &mut report) => ended,
                    stopped = stop => stopped,
                }
            };
            let served = serve::until(stop_or_load, listener, app, &canary).await;
            report.print_sum();
            served
        }
    };
    if let Some(rollout) = rollout {
        rollout.stop().await;
    }
    served
}

async fn asked_to_stop_or_done(
    after: Option<Duration>,
    rollout: Option<&Rollout>,
) -> anyhow::Result<()> {
    let done = async {
        match rollout {
            Some(rollout) => rollout.tell_to_the_end().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = done => done,
        stopped = serve::asked_to_stop(after) => stopped,
    }
}

fn greet(addr: SocketAddr, options: &Options) {
    println!(
        "the shop listens on http://{addr}, {} of calls go to version 2\n",
        options.first_weight()
    );
    println!("try next:");
    for (command, what) in TRY_NEXT {
        println!("  {:<58} # {what}", command.replace("ADDR", &addr.to_string()));
    }
    println!("{}", LONGER.replace("ADDR", &addr.to_string()));
    if options.load.is_none() {
        println!(
            "or start it with `--load 200 --v2-error-rate 5%`, and watch what the canary does\n"
        );
    }
}

const TRY_NEXT: [(&str, &str); 7] = [
    ("curl -i ADDR/products/1", "x-canary-channel says who served it"),
    ("curl -N ADDR/events", "server-sent events"),
    ("curl -X PUT ADDR/canary/weight -d 50%", "the very next call sees it"),
    ("curl -X POST ADDR/canary/roll-back", "the canary's open streams say good-bye"),
    ("curl -X POST ADDR/canary/promote", "version 2 serves everybody"),
    ("curl ADDR/canary", "state and counts"),
    ("curl -s ADDR/metrics | grep canary_requests_total", "for Prometheus"),
];

/// A gRPC message is a zero, four bytes of length, and the protobuf: here, field 1 is 1.
const LONGER: &str = r#"  curl ADDR/checkout --json '{"items": [{"product": 1, "quantity": 2}]}'
  printf '\0\0\0\0\2\b\1' | curl -s --http2-prior-knowledge ADDR/shop.Prices/Get --data-binary @- \
    -H 'content-type: application/grpc' -H 'te: trailers' -i -o - | cat -v
"#;
