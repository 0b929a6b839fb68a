//! Faults that the command line adds to version 2.

use std::{
    future,
    sync::OnceLock,
    time::{Duration, Instant},
};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tower_canary::{Bucket, Weight};

use crate::cli::Options;

#[derive(Debug)]
pub(crate) struct FaultInjector {
    error_rate: Weight,
    panic_rate: Weight,
    hang_rate: Weight,
    latency: Duration,
    /// How long version 2 is slow after its first call.
    cold: Duration,
    first_call: OnceLock<Instant>,
}

impl FaultInjector {
    /// Waits, then hangs, panics, fails or succeeds as configured.
    pub(crate) async fn inject(&self) -> Result<(), InjectedError> {
        let is_cold = self.first_call.get_or_init(Instant::now).elapsed() < self.cold;
        let latency = self.latency + if is_cold { COLD_LATENCY } else { Duration::ZERO };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if is_selected(self.hang_rate) {
            future::pending().await
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
            hang_rate: options.v2_hang_rate,
            latency: options.v2_latency,
            cold: options.v2_cold,
            first_call: OnceLock::new(),
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

pub(crate) fn is_selected(rate: Weight) -> bool {
    rate.admits(Bucket::from_random(rand::random()))
}

const COLD_LATENCY: Duration = Duration::from_millis(100);
