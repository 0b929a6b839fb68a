//! A canary that is sick in every way, and the four options that hold it apart from stable: a time limit,
//! a limit of concurrent calls, a fallback, and a runtime of its own.

use std::{thread, time::Duration};

use axum::{
    Router,
    routing::{any, get},
};
use tokio::{net::TcpListener, runtime};
use tower_canary::{
    Bypass, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Fallback, Weight,
    axum::{AxumBody, RouterExt},
    runtime::OnRuntime,
    select::Condition,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let canary_runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("canary")
        .enable_all()
        .build()?;
    let v2 = Router::new()
        .route("/fine", any(async || "v2\n"))
        .route("/panic", any(async || -> &'static str { panic!("v2 is sick") }))
        .route("/hang", any(std::future::pending::<&'static str>))
        .route("/block", any(block))
        .with_state(());
    let v2 = AxumBody::new(OnRuntime::new(canary_runtime.handle().clone(), v2));

    let options = CanaryOptions::new()
        .time_limit(Channel::Canary, Duration::from_secs(1))
        .concurrency_limit(4)
        .fallback(Fallback::axum())
        .bypass(Bypass::default().or(Condition::path("/counts")));
    let layer = CanaryLayer::with_options("sick", v2, options);
    let canary = layer.handle();
    canary.set_weight(Weight::from_percent(50))?;

    let v1 = Router::new()
        .route("/{*anything}", any(async || "v1\n"))
        .route("/counts", get(async move || report(&canary)));
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    println!("try `curl -i {}/panic`, and what the README has", listener.local_addr()?);
    axum::serve(listener, v1.canary(layer).into_make_service()).await?;

    // A runtime must not be dropped in async code, nor waited for while its threads may be blocked.
    canary_runtime.shutdown_background();
    Ok(())
}

/// What no async handler should do.
async fn block() -> &'static str {
    thread::sleep(Duration::from_secs(60));
    "v2, at last\n"
}

fn report(canary: &CanaryHandle) -> String {
    let counts = canary.counts().total();
    let canary = counts.total(Channel::Canary);
    format!(
        "canary: {} calls, {} failures (of them {} panics, {} timeouts; {} repeated by stable), \
         {} spilled (of them {} shed), {} open\n",
        canary.picked,
        canary.failure,
        canary.panicked,
        canary.timed_out,
        canary.fell_back,
        canary.spilled,
        canary.shed,
        canary.in_flight(),
    )
}
