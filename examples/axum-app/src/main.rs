//! Version 2 of an axum router as a canary whose weight increases step by step.

use std::time::Duration;

use axum::{Router, extract::Path, routing::get};
use tokio::{net::TcpListener, time::sleep};
use tower_canary::{CanaryHandle, CanaryLayer, Channel, Weight, axum::RouterExt as _};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let v1 = Router::new().route("/hello/{name}", get(hello_v1));
    let v2 = Router::new().route("/hello/{name}", get(hello_v2));

    let layer = CanaryLayer::new("hello", v2); // The weight is zero: v2 gets no calls.
    let canary = layer.handle();
    let app = v1.canary(layer);

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    println!("try `curl -i {}/hello/ann`, several times", listener.local_addr()?);
    tokio::select! {
        served = async { axum::serve(listener, app.into_make_service()).await } => Ok(served?),
        never = raise(canary) => never,
    }
}

async fn hello_v1(Path(name): Path<String>) -> String {
    format!("hello, {name}\n")
}

async fn hello_v2(Path(name): Path<String>) -> String {
    format!("good day, {name}\n")
}

/// Raises the weight every 20 s, and halts the canary at its first failed call.
async fn raise(canary: CanaryHandle) -> anyhow::Result<()> {
    for weight in STEPS {
        canary.set_weight(weight)?;
        println!("the canary gets {weight} of calls");
        sleep(STEP_TIME).await;
        let counts = canary.counts().total().total(Channel::Canary);
        if counts.failure > 0 {
            canary.halt(format!("{} of {} calls failed", counts.failure, counts.picked));
            println!("the canary is halted: {:?}", canary.mode());
            return std::future::pending().await;
        }
    }
    canary.promote()?;
    println!("the canary is promoted");
    std::future::pending().await
}

const STEPS: [Weight; 3] =
    [Weight::from_percent(10), Weight::from_percent(25), Weight::from_percent(50)];
const STEP_TIME: Duration = Duration::from_secs(20);
