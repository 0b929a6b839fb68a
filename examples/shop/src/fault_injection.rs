//! Errors, panics and delays that the command line adds to version 2.

use std::time::Duration;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tower_canary::{Bucket, Weight};

use crate::cli::Options;

#[derive(Clone, Debug)]
pub(crate) struct FaultInjector {
    error_rate: Weight,
    panic_rate: Weight,
    latency: Duration,
}

impl FaultInjector {
    /// Waits, then panics, fails or succeeds as configured.
    pub(crate) async fn inject(&self) -> Result<(), InjectedError> {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        assert!(!is_selected(self.panic_rate), "intentional panic");
        if is_selected(self.error_rate) { Err(InjectedError) } else { Ok(()) }
    }
}

impl From<&Options> for FaultInjector {
    fn from(options: &Options) -> Self {
        Self {
            error_rate: options.v2_error_rate,
            panic_rate: options.v2_panic_rate,
            latency: options.v2_latency,
        }
    }
}

/// The injected error, a server error in HTTP and gRPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InjectedError;

impl IntoResponse for InjectedError {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, "injected error\n").into_response()
    }
}

impl From<InjectedError> for tonic::Status {
    fn from(_: InjectedError) -> Self {
        Self::internal("injected error")
    }
}

fn is_selected(rate: Weight) -> bool {
    rate.admits(Bucket::from_random(rand::random()))
}
