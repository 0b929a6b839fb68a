//! Serves the app and logs the calls of each channel to a separate file.

use std::path::PathBuf;

use clap::Parser;
use separate_logs::{Format, app, install, options, v2};
use tokio::net::TcpListener;
use tower_canary::{CanaryLayer, Weight};

#[derive(Parser)]
#[command(about)]
struct Arguments {
    /// The directory of `stable.DATE.log` and `canary.DATE.log`
    #[arg(long, default_value = "logs")]
    directory: PathBuf,
    /// Write one JSON object per line
    #[arg(long)]
    json: bool,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1:3000")]
    addr: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { directory, json, addr } = Arguments::parse();
    // Writes the remaining lines when it is dropped.
    let _logs = install(&directory, if json { Format::Json } else { Format::Text })?;

    let layer = CanaryLayer::with_options("items", v2(), options());
    layer.handle().set_weight(Weight::from_percent(20))?;
    let listener = TcpListener::bind(addr).await?;
    println!("try `curl {}/items/1`, several times", listener.local_addr()?);
    axum::serve(listener, app(&layer).into_make_service())
        .with_graceful_shutdown(async {
            // Without a signal handler, the process must be killed.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending().await
            }
        })
        .await?;
    Ok(())
}
