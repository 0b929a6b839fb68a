use serde::{Deserialize, Serialize};

use crate::channel::PerChannel;

/// What the judge thinks of the canary.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JudgmentView {
    /// The verdict over all deciding monitors.
    pub verdict: Verdict,
    /// The verdict in one sentence.
    pub sentence: String,
    /// The monitor that determined the verdict.
    pub decisive: Option<String>,
    /// The finding of each monitor.
    pub findings: Vec<FindingView>,
    /// Who made the evidence, in one sentence.
    pub sources: String,
    /// A warning if few callers made much of the evidence.
    pub warning: Option<String>,
}

/// A verdict of the judge.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The canary is proven to be good enough.
    Healthy,
    /// The canary is proven to be worse.
    Degraded,
    /// Neither is proven yet.
    Inconclusive,
    /// A verdict of a newer server.
    #[serde(other)]
    Unknown,
}

impl Verdict {
    /// Returns the name, such as "healthy".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Inconclusive => "inconclusive",
            Self::Unknown => "unknown",
        }
    }
}

/// The finding of one monitor.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FindingView {
    /// The name of the monitor.
    pub monitor: String,
    /// Whether the monitor decides, or only reports.
    pub decides: bool,
    /// Its verdict.
    pub verdict: Verdict,
    /// The finding in one sentence.
    pub sentence: String,
    /// What is counted: `calls` or `keys`.
    pub unit: String,
    /// The number of trials.
    pub trials: PerChannel<u64>,
    /// The number of adverse trials, such as failed calls.
    pub adverse: PerChannel<u64>,
    /// The fraction of adverse trials; `None` before the first trial, and for the share of calls.
    pub rate: PerChannel<Option<f64>>,
    /// The fraction of adverse trials on stable at the weights of the canary's calls: the rate that an
    /// equal canary would have.
    pub expected_rate: Option<f64>,
    /// The canary's rate as a multiple of stable's.
    pub ratio: RatioView,
    /// The multiple above which the canary counts as worse; `None` for a monitor with an absolute
    /// limit, and for the share of calls.
    pub worse_ratio: Option<f64>,
    /// The absolute limit in words, if the canary is not compared with stable.
    pub limit: Option<String>,
    /// The evidence that the canary is worse.
    pub harm: EvidenceView,
    /// The evidence that the canary is good enough; `None` for the share of calls.
    pub good: Option<EvidenceView>,
    /// The time from which a call counts as slow on the canary, in milliseconds.
    pub slow_limit_ms: Option<f64>,
    /// An estimate of the canary trials that the proof of good still takes.
    pub missing_trials: Option<u64>,
    /// The rest of the warm-up, in seconds.
    pub warm_up_left_s: Option<f64>,
}

/// A ratio with the interval that contains the true one at all times, with the probability that the
/// plan's `alpha` leaves.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RatioView {
    /// The estimate; `None` without data.
    pub estimate: Option<f64>,
    /// The lower end.
    pub lower: f64,
    /// The upper end; `None` if there is none.
    pub upper: Option<f64>,
}

/// Evidence, as odds against chance, and the odds that suffice.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceView {
    /// The odds against chance.
    pub odds: f64,
    /// The odds that suffice for the verdict.
    pub needed: f64,
    /// The evidence on the scale of its threshold, `0.0..=1.0`: the logarithm of the odds divided by
    /// that of the needed odds.
    pub progress: f64,
}
