//! A canary that panics, hangs and blocks, isolated from stable by a time limit, a concurrency
//! limit, a fallback and a separate runtime.

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
        .route("/panic", any(async || -> &'static str { panic!("intentional panic") }))
        .route("/hang", any(std::future::pending::<&'static str>))
        .route("/block", any(block))
        .with_state(());
    let v2 = AxumBody::new(OnRuntime::new(canary_runtime.handle().clone(), v2));

    let options = CanaryOptions::new()
        .time_limit(Channel::Canary, Duration::from_secs(1))
        .concurrency_limit(4)
        .fallback(Fallback::axum())
        .bypass(Bypass::default().or(Condition::path("/counts")));
    let layer = CanaryLayer::with_options("failing", v2, options);
    let canary = layer.handle();
    canary.set_weight(Weight::from_percent(50))?;

    let v1 = Router::new()
        .route("/{*anything}", any(async || "v1\n"))
        .route("/counts", get(async move || report(&canary)));
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    println!("try `curl -i {}/panic`, and the commands in the README", listener.local_addr()?);
    axum::serve(listener, v1.canary(layer).into_make_service()).await?;

    // Dropping a runtime in async code panics, and a normal shutdown waits for blocked threads.
    canary_runtime.shutdown_background();
    Ok(())
}

/// Blocks a thread of the runtime, which async code must not do.
async fn block() -> &'static str {
    thread::sleep(Duration::from_secs(60));
    "v2, after a minute\n"
}

fn report(canary: &CanaryHandle) -> String {
    let counts = canary.counts().total();
    let canary = counts.total(Channel::Canary);
    format!(
        "canary: {} calls, {} failures (including {} panics, {} timeouts; {} repeated by stable), \
         {} spilled (including {} shed), {} in flight\n",
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
