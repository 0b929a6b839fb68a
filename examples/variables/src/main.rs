//! Variables of a stage, some of which the canary overrides. Both can change at runtime.

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    routing::{get, post, put},
};
use serde::Deserialize;
use tokio::net::TcpListener;
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, TypedVariables, Variables, Weight,
    axum::RouterExt as _,
};

/// The typed form of the variables. Changes that do not deserialize are rejected.
#[derive(Deserialize)]
struct Settings {
    database: String,
    page_size: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let stage = Variables::new().with("database", "orders-1").with("page_size", 20);
    let overrides = Variables::new().with("database", "orders-2");
    let options = CanaryOptions::new().variables(stage, overrides).typed_variables::<Settings>();
    let layer = CanaryLayer::with_options("orders", orders(), options);
    let canary = layer.handle();
    canary.set_weight(Weight::from_percent(50))?;
    let app = orders().canary(layer).merge(control(canary));

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    println!(
        "try `curl {}`, several times, and the commands in the README",
        listener.local_addr()?
    );
    Ok(axum::serve(listener, app.into_make_service()).await?)
}

/// Returns the service. Both versions have the same code and different variables.
fn orders() -> Router {
    let list = async |call: Assignment, settings: TypedVariables<Settings>| {
        format!("{}: {} orders of {}\n", call.channel(), settings.page_size, settings.database)
    };
    Router::new().route("/", get(list))
}

/// Routes for the operator. In production they need authentication.
fn control(canary: CanaryHandle) -> Router {
    let promoted = canary.clone();
    let promote = async move || promoted.promote().map_err(|halted| halted.to_string());
    let rolled_back = canary.clone();
    let roll_back = async move || rolled_back.roll_back();
    let set = async move |Path((target, name)): Path<(String, String)>, value: String| {
        let changed = canary.change_variables(|stage, overrides| {
            let variables = if target == "stage" { stage } else { overrides };
            match value.parse::<u32>() {
                Ok(number) => variables.set(name, number),
                Err(_) => variables.set(name, value),
            }
        });
        changed.map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))
    };
    Router::new()
        .route("/variables/{target}/{name}", put(set))
        .route("/promote", post(promote))
        .route("/roll-back", post(roll_back))
}
