use std::time::Duration;

use canary_analysis::{SecondProof, error::SecondProofError};
use serde::{Deserialize, Serialize};

use crate::serialize;

/// The reaction to a canary that the judge or a probe finds degraded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnDegraded {
    /// Sends all calls to stable at once.
    #[default]
    RollBack,
    /// Lowers the weight to zero in ten equal steps, the first one at once. Use it if stable has
    /// cold caches or needs time to scale up.
    RampDown(RampDown),
    /// Keeps the weight until an operator decides. Use it if a rollback can do harm, for example
    /// after a data migration.
    Freeze,
    /// Records it as an event, and changes nothing. Only a plan by hand can have this reaction, and it
    /// is its default.
    Report,
}

/// The duration of a ramp.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RampDown {
    /// The time until the weight is zero.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub over: Duration,
}

/// The reaction to a deadline that passes before the conditions are met.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnInconclusive {
    /// Pauses until an operator decides.
    #[default]
    Hold,
    /// Rolls back. Pauses instead if the canary had no calls at all.
    RollBack,
    /// Advances, and finally promotes, without proof that the canary is healthy. Pauses instead if
    /// calls or probes are missing.
    Advance,
}

/// Whether harm needs a second proof if stable has outages that the canary does not share; see
/// [`SecondProof`](canary_analysis::SecondProof).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SecondProofSpec {
    /// Never. The canary may be rolled back at its first outage, even if stable has them too.
    Never,
    /// With these values, if stable has shown such outages.
    With(SecondProofValues),
}

/// The values of a [`SecondProof`](canary_analysis::SecondProof).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SecondProofValues {
    /// The part that stable's own outages must add to the variance of the number of its failures;
    /// 0.3 by default.
    pub share: f64,
    /// The odds against chance that the second proof needs; 20 by default.
    pub odds: f64,
}

impl Default for SecondProofValues {
    fn default() -> Self {
        let default = SecondProof::default();
        Self { share: default.share(), odds: default.odds() }
    }
}

impl SecondProofSpec {
    pub(crate) fn second_proof(self) -> Result<SecondProof, SecondProofError> {
        match self {
            Self::Never => Ok(SecondProof::NEVER),
            Self::With(SecondProofValues { share, odds }) => SecondProof::try_new(share, odds),
        }
    }
}
