//! Version 2 of a shop is asked what version 1 is asked, before one caller gets an answer of it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use axum::{Json, Router, extract::Path, http::StatusCode, routing::get};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime, time::sleep};
use tower_canary::{Channel, Weight};
use tower_canary_mirror::{ByField, MirrorHandle, MirrorLayer, MirrorOptions, Tokio};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let v1 = Router::new().route("/products/{id}", get(product_v1));
    let v2 = Router::new().route("/products/{id}", get(product_v2));

    let options = MirrorOptions::new()
        .share(Weight::FULL)
        .noise_share(Weight::from_percent(10)) // finds `request_id`, which is another in each answer
        .compare(ByField::new().ignore("/at")); // known beforehand
    // Threads of its own: what version 2 blocks is not version 1's.
    let threads = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let on = Tokio::on(threads.handle().clone());
    let layer = MirrorLayer::with_runtime("shop", v2, options, on);
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
    threads.shutdown_background();
    Ok(())
}

async fn product_v1(Path(id): Path<u32>) -> Json<Value> {
    Json(json!({"id": id, "cents": 100 * id, "request_id": request_id(), "at": now()}))
}

/// Gives a discount on each tenth product, which nobody asked for.
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

/// Says every five seconds what the mirror found, if it found something new.
async fn report(mirror: MirrorHandle) {
    let mut seen = 0;
    loop {
        sleep(Duration::from_secs(5)).await;
        let counts = mirror.counts();
        if counts.copied == seen {
            continue;
        }
        seen = counts.copied;
        println!(
            "\n{} copied: {} matched ({} but for noise), {} mismatched, {} failed, {} dropped",
            counts.copied,
            counts.matched,
            counts.matched_but_noise,
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
            println!("{} differed in {}{noise}", field.field, field.differed);
        }
        for found in mirror.differences().iter().filter(|found| found.field == "body/cents") {
            println!("{} {}: {} is {}", found.method, found.path, found.stable, found.canary);
        }
    }
}
