use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A plan, without what only its author may see: secrets, and the paths of URLs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanView {
    /// The plan as JSON.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub plan: Value,
    /// Whether the weight changes only by hand.
    pub by_hand: bool,
}

/// A text with a plan, and its format.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// The text of the plan, of at most 64 KiB. Plans from the API have no webhooks, no URLs and no
    /// notifications: these come only from code and files of the service.
    pub text: String,
    /// The format of the text.
    #[serde(default)]
    pub format: PlanFormat,
    /// The reason, for the history.
    #[serde(default)]
    pub reason: String,
}

/// The format of the text of a plan.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlanFormat {
    /// TOML.
    #[default]
    Toml,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// A plan to check. Nothing changes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PlanCheckRequest {
    /// The text of the plan.
    pub text: String,
    /// The format of the text.
    #[serde(default)]
    pub format: PlanFormat,
    /// The canary whose requirements and observed traffic apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// The calls per second on both channels, instead of the observed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_per_second: Option<f64>,
    /// The fraction of calls that fail on stable, instead of the observed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<f64>,
}

/// The result of a check.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanCheck {
    /// The faults. A plan without faults is valid.
    pub faults: Vec<PlanFault>,
    /// The forecast; `None` if the plan has faults, or if no traffic is known.
    pub forecast: Option<PlanForecast>,
}

/// A fault of a plan.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanFault {
    /// The line, from 1; 0 if the fault concerns the whole plan.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The field, such as `steps[1].weight`; it may be empty.
    pub field: String,
    /// The value found, and the expectation.
    pub message: String,
}

/// How long a plan takes at best, and what it would catch.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanForecast {
    /// The forecast for people: a table, and the warnings.
    pub text: String,
    /// The calls per second on both channels that it is for.
    pub calls_per_second: f64,
    /// The fraction of calls that fail on stable that it is for.
    pub failure_rate: Option<f64>,
    /// The time from the start to the promotion, in seconds.
    pub total_s: f64,
    /// The time until an equal canary is proven healthy with a probability of 95%, in seconds.
    pub proven_s: Option<f64>,
    /// The smallest failure rate of the canary that is caught before the promotion with a probability
    /// of 95%.
    pub caught_failure_rate: Option<f64>,
    /// The steps, followed by the bake if the plan has one.
    pub steps: Vec<ForecastStep>,
    /// Warnings about the plan.
    pub warnings: Vec<String>,
}

/// A step of a [`PlanForecast`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ForecastStep {
    /// The weight, such as `10%`.
    pub weight: String,
    /// The time at this weight, in seconds.
    pub takes_s: f64,
    /// The condition that takes the longest: `time`, `calls` or `proof`.
    pub bound: String,
    /// The canary's calls during the step.
    pub calls: u64,
    /// The gates at the end of the step.
    pub gates: Vec<String>,
}
