//! Mirrors the requests of version 1 of a shop to version 2 and reports the differences.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use axum::{Json, Router, extract::Path, http::StatusCode, routing::get};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime, time::sleep};
use tower_canary::{Channel, Weight};
use tower_canary_mirror::{ByField, MirrorHandle, MirrorLayer, MirrorOptions};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let v1 = Router::new().route("/products/{id}", get(product_v1));
    let v2 = Router::new().route("/products/{id}", get(product_v2));

    // Separate threads, so that version 2 cannot block those of version 1.
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let options = MirrorOptions::new()
        .share(Weight::FULL)
        .runtime(runtime.handle().clone())
        .noise_share(Weight::from_percent(10)) // detects `request_id`, which differs each time
        .compare(ByField::new().ignore("/at")); // known to differ
    let layer = MirrorLayer::with_options("shop", v2, options);
    let mirror = layer.handle();
    let app = v1.layer(layer);

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    let address = listener.local_addr()?;
    println!("try `for id in $(seq 60); do curl -s {address}/products/$id; done`");
    tokio::select! {
        served = async { axum::serve(listener, app.into_make_service()).await } => served?,
        () = report(mirror) => {}
    }
    runtime.shutdown_background();
    Ok(())
}

async fn product_v1(Path(id): Path<u32>) -> Json<Value> {
    Json(json!({"id": id, "cents": 100 * id, "request_id": request_id(), "at": now()}))
}

/// Is slow, fails for product 13, and gives an unintended discount on each tenth product.
async fn product_v2(Path(id): Path<u32>) -> Result<Json<Value>, StatusCode> {
    if id == 13 {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    sleep(Duration::from_millis(20)).await;
    let cents = if id.is_multiple_of(10) { 95 * id } else { 100 * id };
    Ok(Json(json!({"id": id, "cents": cents, "request_id": request_id(), "at": now()})))
}

fn request_id() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

fn now() -> u128 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos())
}

/// Prints the results every five seconds if there are new ones.
async fn report(mirror: MirrorHandle) {
    let mut seen = 0;
    loop {
        sleep(Duration::from_secs(5)).await;
        let counts = mirror.counts();
        if counts.mirrored == seen {
            continue;
        }
        seen = counts.mirrored;
        println!(
            "\n{} mirrored: {} matched ({} with noise), {} mismatched, {} failed, {} dropped",
            counts.mirrored,
            counts.matched,
            counts.matched_with_noise,
            counts.mismatched,
            counts.failed,
            counts.dropped.total(),
        );
        for channel in Channel::ALL {
            let median = counts.head[channel].quantile(0.5).map(|bucket| bucket.midpoint());
            println!("median of {channel}: {:?}", median.unwrap_or_default());
        }
        for field in mirror.fields() {
            let noise = if field.is_noise() { ", noise" } else { "" };
            println!("{} differed {} times{noise}", field.field, field.differed);
        }
        for found in mirror.differences().iter().filter(|found| found.field == "body/cents") {
            println!(
                "{} {}: stable {}, canary {}",
                found.method, found.path, found.stable, found.canary
            );
        }
    }
}
