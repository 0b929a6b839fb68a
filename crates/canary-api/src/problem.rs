use std::{error, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    command::CommandName,
    event::{EventId, EventView},
    plan::PlanFault,
};

/// The body of every error response: problem details as in RFC 9457, with the media type
/// `application/problem+json`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Problem {
    /// The kind of the problem, such as `/problems/changed`. Programs decide by it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The status code of the response.
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// The field, parameter or header that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The value of the field, cut to 256 bytes. Values that can be secret are never shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The values that the field can have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The commands that the rollout allows now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<CommandName>,
    /// The latest event of the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<EventId>,
    /// The events since the one that the request names, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventView>,
    /// Whether one of `events` is what the command of this request does, by the same author. A client
    /// whose response was lost knows by it that the command was carried out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub already_done: bool,
    /// The faults of a plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<PlanFault>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.detail.is_empty() { &self.title } else { &self.detail })
    }
}

impl error::Error for Problem {}
