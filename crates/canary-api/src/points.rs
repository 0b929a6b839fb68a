use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::channel::PerChannel;

/// The recent past of a canary, in columns for charts. All columns have the length of `at_ms`.
///
/// A value is `null` where there was nothing to measure, such as a latency without calls. The points
/// are lost when the process restarts; the events are not.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Points {
    /// The time between two points, in seconds.
    pub step_s: u32,
    /// The end of each point's time, in milliseconds since 1970, oldest first.
    pub at_ms: Vec<i64>,
    /// The weight at the end of the time, in millionths.
    pub weight_ppm: Vec<u32>,
    /// Ended calls per second.
    pub calls_per_second: PerChannel<Vec<f32>>,
    /// The fraction of ended calls that failed.
    pub failure_rate: PerChannel<Vec<Option<f32>>>,
    /// The median time to the end of the response, in milliseconds.
    pub p50_ms: PerChannel<Vec<Option<f32>>>,
    /// The 99th percentile of the time to the end of the response, in milliseconds.
    pub p99_ms: PerChannel<Vec<Option<f32>>>,
    /// The findings, by monitor.
    pub findings: BTreeMap<String, FindingColumns>,
}

/// The past of one finding.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FindingColumns {
    /// The estimated ratio.
    pub ratio: Vec<Option<f32>>,
    /// The lower end of its interval.
    pub lower: Vec<Option<f32>>,
    /// The upper end of its interval.
    pub upper: Vec<Option<f32>>,
    /// The evidence of harm, on the scale of its threshold.
    pub harm: Vec<Option<f32>>,
    /// The evidence of good, on the scale of its threshold.
    pub good: Vec<Option<f32>>,
}
