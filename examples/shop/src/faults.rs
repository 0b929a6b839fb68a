//! What is wrong with version 2, to order.

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tower_canary::{Bucket, Weight};

use crate::cli::Options;

#[derive(Clone, Debug)]
pub(crate) struct Faults {
    error_rate: Weight,
    panic_rate: Weight,
    latency: Duration,
}

impl Faults {
    /// Wastes time, and then panics, fails, or does nothing.
    pub(crate) async fn strike(&self) -> Result<(), Broken> {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        assert!(!is_drawn(self.panic_rate), "version 2 was told to panic");
        if is_drawn(self.error_rate) { Err(Broken) } else { Ok(()) }
    }
}

impl From<&Options> for Faults {
    fn from(options: &Options) -> Self {
        Self {
            error_rate: options.v2_error_rate,
            panic_rate: options.v2_panic_rate,
            latency: options.v2_latency,
        }
    }
}

/// An error as ordered: the server's fault, in HTTP as in gRPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken;

impl IntoResponse for Broken {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, "version 2 was told to fail\n").into_response()
    }
}

impl From<Broken> for tonic::Status {
    fn from(_: Broken) -> Self {
        Self::internal("version 2 was told to fail")
    }
}

fn is_drawn(rate: Weight) -> bool {
    rate.admits(Bucket::from_random(rand::random()))
}
