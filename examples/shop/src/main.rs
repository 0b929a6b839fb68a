//! A shop whose second version is a canary: HTTP and gRPC on one port, faults to order, and a load that
//! shows what the canary does with them.

mod app;
mod catalog;
mod cli;
mod control;
mod faults;
mod greet;
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

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tower_canary::{CanaryLayer, CanaryOptions, Tags};

use self::{cli::Options, faults::Faults, report::Report, rollout::Rollout};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = Options::of_command_line() else { return ExitCode::SUCCESS };
    run(options).await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(options: Options) -> anyhow::Result<ExitCode> {
    logs::install(&options);
    let prometheus = app::install_prometheus()?;
    let plan = options.plan.as_deref().map(rollout::read_plan).transpose()?;

    let v2 = v2::router(Faults::from(&options));
    let layer = CanaryLayer::with_options(
        "shop",
        v2.clone(),
        CanaryOptions::new()
            .stable_release("v1")
            .canary_release("v2")
            .tags(Tags::default().release_header()),
    );
    let canary = layer.handle();
    canary.set_weight(options.first_weight())?;

    let listener = TcpListener::bind(options.addr)
        .await
        .with_context(|| format!("cannot listen on {}", options.addr))?;
    let addr = listener.local_addr()?;
    let mut rollout = match (&options.plan, plan) {
        (Some(file), Some(plan)) => {
            let state = options.state.clone();
            Some(Rollout::begin(canary.clone(), v2, (file, plan), state).await?)
        }
        _ => None,
    };
    let app = app::router(v1::router(), layer, prometheus, rollout.as_ref().map(Rollout::handle));
    greet::greet(addr, &options);

    let stop = asked_to_stop_or_done(&options, rollout.as_mut());
    match options.load {
        None => serve::until(stop, listener, app, &canary).await?,
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
            served?;
        }
    }
    match rollout {
        Some(rollout) => Ok(rollout.stop().await.into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

async fn asked_to_stop_or_done(
    options: &Options,
    rollout: Option<&mut Rollout>,
) -> anyhow::Result<()> {
    let done = async {
        match rollout {
            Some(rollout) if options.stay => rollout.tell_for_ever().await,
            Some(rollout) => rollout.tell_to_the_end().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = done => done,
        stopped = serve::asked_to_stop(options.stop_after()) => stopped,
    }
}
