use serde::{Deserialize, Serialize};

/// A value of each channel.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PerChannel<T> {
    /// The value of stable.
    pub stable: T,
    /// The value of the canary.
    pub canary: T,
}

/// One of the two channels.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there are exactly two channels")]
pub enum ChannelName {
    /// The release that serves production.
    Stable,
    /// The release under test.
    Canary,
}

/// A channel as one process sees it.
///
/// Rates and latencies are those of the last ten seconds, and `None` without calls in that time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelView {
    /// The release.
    pub release: String,
    /// Ended calls per second.
    pub calls_per_second: f64,
    /// The fraction of ended calls that failed.
    pub failure_rate: Option<f64>,
    /// The median time to the end of the response, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The 99th percentile of the time to the end of the response, in milliseconds.
    pub p99_ms: Option<f64>,
    /// Calls and streams that have not ended.
    pub open: u64,
    /// All calls of this process that have ended.
    pub calls: u64,
    /// The failed ones among them.
    pub failed: u64,
    /// The calls whose caller left before the end of the response.
    pub cancelled: u64,
    /// The calls whose outcome the request alone made, such as a path that does not exist. They are
    /// not compared.
    pub client_made: u64,
}
