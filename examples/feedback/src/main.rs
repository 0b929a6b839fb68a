//! A canary whose answers are all 200, and wrong: its users say so, and it is halted.

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

    // The same at each replica, and from its configuration.
    let secret = Secret::try_new("an-example-s-secret-which-is-none")?;
    let options = CanaryOptions::new().feedback(FeedbackOptions::new().signed(&secret));
    let layer = CanaryLayer::with_options("twice", v2, options);
    let canary = layer.handle();
    canary.set_weight(Weight::from_percent(50))?;
    let app = v1.canary(layer).route("/feedback", feedback(canary.clone()));

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("try `curl {url}/twice/21`, several times, and with the receipt of a wrong answer");
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

/// Halts the canary at the third complaint. A judge would compare it with stable's.
async fn watch(canary: CanaryHandle) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let rated = canary.counts().ratings.feedback.total(Channel::Canary);
        if rated.adverse >= 3 {
            canary.halt(format!("{} of {} ratings are bad", rated.adverse, rated.total));
            println!("the canary is halted: {:?}", canary.mode());
            return std::future::pending().await;
        }
    }
}
