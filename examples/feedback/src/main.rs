//! A canary that returns wrong results with status 200, and is halted after bad ratings by its
//! users.

use axum::{Router, extract::Path, routing::get};
use tokio::{
    net::TcpListener,
    time::{Duration, interval},
};
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Weight,
    axum::{RouterExt as _, feedback},
    feedback::FeedbackOptions,
    select::Secret,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let v1 = Router::new().route("/twice/{number}", get(twice_v1));
    let v2 = Router::new().route("/twice/{number}", get(twice_v2));

    // In production, all replicas read the same secret from their configuration.
    let secret = Secret::try_new("a-public-secret-for-this-example")?;
    let options = CanaryOptions::new().feedback(FeedbackOptions::new().signed(&secret));
    let layer = CanaryLayer::with_options("twice", v2, options);
    let canary = layer.handle();
    canary.set_weight(Weight::from_percent(50))?;
    let app = v1.canary(layer).route("/feedback", feedback(canary.clone()));

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!(
        "try `curl {url}/twice/21`, several times, then rate a wrong result with its receipt:"
    );
    println!(r#"`curl -i --json '{{"rating": "bad", "receipt": ".."}}' {url}/feedback`"#);
    tokio::select! {
        served = async { axum::serve(listener, app.into_make_service()).await } => Ok(served?),
        never = watch(canary) => never,
    }
}

async fn twice_v1(Path(number): Path<u32>, assignment: Assignment) -> String {
    format!("{}\nreceipt: {}\n", u64::from(number) * 2, assignment.receipt())
}

async fn twice_v2(Path(number): Path<u32>, assignment: Assignment) -> String {
    format!("{}\nreceipt: {}\n", u64::from(number).pow(2), assignment.receipt())
}

/// Halts the canary at the third bad rating. A judge would compare both channels instead.
async fn watch(canary: CanaryHandle) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let ratings = canary.counts().ratings.feedback.total(Channel::Canary);
        if ratings.adverse >= 3 {
            canary.halt(format!("{} of {} ratings are bad", ratings.adverse, ratings.total));
            println!("the canary is halted: {:?}", canary.mode());
            return std::future::pending().await;
        }
    }
}
