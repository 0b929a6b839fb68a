use std::collections::BTreeMap;

use canary_api::Role;
use canary_controller::{Phase, Releases, Status, Timestamp, rollout::event::EventId};
use canary_core::Weight;
use serde::Serialize;
use serde_json::Value;
use tower_canary::{CanaryHandle, Variables, control::ControlExt};

/// A rollout in the words of the gateway: the stage serves stable's release, and its canary serves a
/// percentage of the calls.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) releases: Releases,
    pub(super) phase: Phase,
    /// The weight of the data plane.
    pub(super) weight: Weight,
    pub(super) variables: BTreeMap<String, Value>,
    pub(super) overrides: BTreeMap<String, Value>,
    pub(super) uses_stage_cache: bool,
    /// A sentence about the state.
    pub(super) summary: String,
    /// The time of the oldest event that the rollout still has.
    pub(super) created: Option<Timestamp>,
    pub(super) latest: Option<EventId>,
}

impl Stage {
    pub(super) fn of(name: &str, status: &Status, canary: &CanaryHandle) -> Self {
        let rollout = &status.rollout;
        Self {
            name: name.to_owned(),
            releases: rollout.releases().clone(),
            phase: rollout.phase(),
            weight: status.weight,
            variables: map(&canary.stage_variables()),
            overrides: map(&canary.overrides()),
            uses_stage_cache: canary.is_canary_cacheable(),
            summary: status.summary.clone(),
            created: rollout.history().next().map(|event| event.at),
            latest: rollout.latest(),
        }
    }

    /// Returns the release that the stage serves beside its canary.
    pub(super) fn deployment(&self) -> &str {
        match self.phase {
            Phase::Promoted => self.releases.canary.as_str(),
            _ => self.releases.stable.as_str(),
        }
    }

    /// Returns whether the stage has a canary. A promoted canary still is one, as on the gateway.
    pub(super) const fn has_canary(&self) -> bool {
        !matches!(self.phase, Phase::RolledBack | Phase::Halted)
    }

    /// Returns the weight of the canary beside the release of the stage.
    pub(super) const fn canary_weight(&self) -> Weight {
        match self.phase {
            Phase::Promoted => Weight::ZERO,
            _ => self.weight,
        }
    }

    /// Returns the document of the stage. Only operators see the values of variables.
    pub(super) fn document(&self, role: Role) -> StageDocument {
        let sees_values = role >= Role::Operate;
        let texts = |of: &BTreeMap<String, Value>| sees_values.then(|| texts(of));
        let canary_settings = self.has_canary().then(|| CanarySettings {
            percent_traffic: f64::from(self.canary_weight().ppm()) / PPM_PER_PERCENT,
            deployment_id: self.releases.canary.as_str().to_owned(),
            stage_variable_overrides: texts(&self.overrides),
            use_stage_cache: self.uses_stage_cache,
        });
        StageDocument {
            stage_name: self.name.clone(),
            description: self.summary.clone(),
            deployment_id: self.deployment().to_owned(),
            variables: texts(&self.variables),
            canary_settings,
            created_date: self.created.map(seconds),
            last_updated_date: self.latest.map(|latest| seconds(latest.at)),
        }
    }
}

/// The document of a stage, as the gateway's clients read it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StageDocument {
    stage_name: String,
    description: String,
    deployment_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variables: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canary_settings: Option<CanarySettings>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_date: Option<i64>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_date: Option<i64>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CanarySettings {
    percent_traffic: f64,
    deployment_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage_variable_overrides: Option<BTreeMap<String, String>>,
    use_stage_cache: bool,
}

fn map(variables: &Variables) -> BTreeMap<String, Value> {
    variables.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// Variables of the gateway are texts. Other values become the text of their JSON.
fn texts(variables: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    variables.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1000)
}

const PPM_PER_PERCENT: f64 = 10_000.0;
