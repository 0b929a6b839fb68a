//! A shop with a canary: HTTP and gRPC on one port, fault injection, a load generator and a report.

mod app;
mod catalog;
mod cli;
mod fault_injection;
mod load;
mod logs;
mod outage;
mod report;
mod rollout;
mod serve;
mod startup_message;
mod store;
mod streaming;
mod v1;
mod v2;

mod proto {
    #![allow(unreachable_pub, unused_qualifications, reason = "generated")]
    tonic::include_proto!("shop");
}

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tower_canary::{CanaryLayer, CanaryOptions, Tags, select::Sticky};

use self::{cli::Options, fault_injection::FaultInjector, report::Report, rollout::Rollout};

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = Options::from_command_line() else { return ExitCode::SUCCESS };
    run(options).await.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(options: Options) -> anyhow::Result<ExitCode> {
    logs::install(&options);
    let prometheus = app::install_prometheus()?;
    let plan = options.plan.as_deref().map(rollout::read_plan).transpose()?;

    let v1 = outage::add(v1::router(), options.outage);
    // Probes of version 2 do not see the outage.
    let v2 = v2::router(FaultInjector::from(&options));
    let canary = outage::add(v2.clone(), options.outage);
    let layer = CanaryLayer::with_options("shop", canary, canary_options(&options));
    let canary = layer.handle();

    let listener = TcpListener::bind(options.addr)
        .await
        .with_context(|| format!("cannot listen on {}", options.addr))?;
    let addr = listener.local_addr()?;
    let mut rollout = match (&options.plan, plan) {
        (Some(file), Some(plan)) => {
            Rollout::start(canary.clone(), v2, (file, plan), &options).await?
        }
        _ => Rollout::by_hand(canary.clone(), &options).await?,
    };
    let admin = rollout.admin();
    let app = app::router(v1, layer, prometheus, &admin);
    startup_message::print(addr, &options);

    let stop = finished_or_stopped(&options, &mut rollout);
    match options.load {
        None => serve::until(stop, listener, app, &canary, admin).await?,
        Some(per_second) => {
            let mut report = Report::new(canary.clone());
            let stop_or_load = async {
                tokio::select! {
                    biased; // Print the line of the last second before stopping.
                    ended = load::run(addr, per_second, options.sticky_users, &mut report) => ended,
                    stopped = stop => stopped,
                }
            };
            let served = serve::until(stop_or_load, listener, app, &canary, admin).await;
            report.print_total();
            served?;
        }
    }
    Ok(rollout.stop().await)
}

fn canary_options(options: &Options) -> CanaryOptions {
    let canary = CanaryOptions::new()
        .stable_release(options.stable_release.clone())
        .canary_release(options.canary_release.clone())
        .tags(Tags::default().release_header());
    if options.sticky_users.is_some() {
        canary.select(Sticky::by_header(load::USER))
    } else {
        canary
    }
}

async fn finished_or_stopped(options: &Options, rollout: &mut Rollout) -> anyhow::Result<()> {
    let done = async {
        if options.stay { rollout.print_forever().await } else { rollout.print_to_the_end().await }
    };
    tokio::select! {
        done = done => done,
        stopped = serve::stop_requested(options.stop_after()) => stopped,
    }
}
