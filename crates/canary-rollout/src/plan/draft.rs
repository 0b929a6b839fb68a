use std::{collections::BTreeMap, time::Duration};

use canary_core::Weight;
use serde::Deserialize;

use super::{
    calendar::WrittenCalendar,
    gate::{Gate, NotifyTarget},
    monitor::MonitorSpec,
    policy::{OnDegraded, OnInconclusive},
    preset::{Exponential, Linear},
    probe::Probe,
    step::{AdvanceWhen, Bake, Start},
};
use crate::serialize;

/// The plan of a rollout: from the canary's first call to its promotion.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "Plan of a canary rollout", rename = "Plan"))]
#[cfg_attr(test, schemars(extend("oneOf" = crate::plan::schema::shapes())))]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Draft {
    /// Where this schema is, for editors. It means nothing else.
    #[serde(rename = "$schema")]
    pub(crate) _schema: Option<String>,
    /// The steps of a managed service's plan, by its name: "Canary10Percent5Minutes".
    pub(crate) preset: Option<String>,
    /// Steps that rise by the same weight.
    pub(crate) linear: Option<Linear>,
    /// Steps that rise by the same factor.
    pub(crate) exponential: Option<Exponential>,
    /// The steps, if none of `preset`, `linear` and `exponential` says them.
    pub(crate) steps: Option<Vec<StepDraft>>,
    /// How many calls the canary must have ended in a step that does not say it: 100 unless told
    /// otherwise.
    pub(crate) min_calls: Option<u64>,
    /// The deadline of a step that does not say it: a day unless told otherwise.
    #[serde(with = "serialize::maybe_span")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Span>"))]
    pub(crate) step_deadline: Option<Duration>,
    /// Whether a step waits for proof that does not say it.
    pub(crate) advance_when: Option<AdvanceWhen>,
    /// What must be well before the first call.
    pub(crate) start: Start,
    /// What must be well before the promotion, the proof that the canary is healthy apart.
    pub(crate) promote: PromoteDraft,
    /// How long the canary is watched once it serves nearly all calls.
    pub(crate) bake: Option<Bake>,
    /// No weight above this is ever asked for, neither by the plan nor by hand. If it is below 100%,
    /// only a person can promote.
    #[serde(deserialize_with = "maybe_weight::deserialize")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Percent>"))]
    pub(crate) max_weight: Option<Weight>,
    /// The deadline of the whole rollout, pauses included.
    #[serde(with = "serialize::maybe_span")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Span>"))]
    pub(crate) deadline: Option<Duration>,
    /// What is done with a canary that is degraded.
    pub(crate) on_degraded: OnDegraded,
    /// What is done at a deadline.
    pub(crate) on_inconclusive: OnInconclusive,
    /// The probability of a false rollback over the whole rollout, above 0 and up to 0.5: 0.01 unless
    /// told otherwise.
    pub(crate) alpha: Option<f64>,
    /// The probability of a false promotion, above 0 and up to 0.5: 0.05 unless told otherwise.
    pub(crate) beta: Option<f64>,
    /// What the judge watches: failures, cancelled calls and the share, unless told otherwise.
    pub(crate) monitors: Option<Vec<MonitorSpec>>,
    /// The gates, by the names by which steps ask for them.
    pub(crate) gates: BTreeMap<String, Gate>,
    /// The probes, by the names by which steps ask for them.
    pub(crate) probes: BTreeMap<String, Probe>,
    /// When the plan may raise the weight: always, unless told otherwise.
    pub(crate) calendar: Option<WrittenCalendar>,
    /// Who is told what happens, by a name for each.
    pub(crate) notify: BTreeMap<String, NotifyTarget>,
}

/// A step, in which the plan's defaults may be left out.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Step"))]
#[serde(deny_unknown_fields)]
pub(crate) struct StepDraft {
    /// The share of calls that is asked of the canary: above that of the step before, and below 100%.
    #[serde(with = "serialize::weight")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub(crate) weight: Weight,
    /// The weight is kept for at least this long.
    #[serde(with = "serialize::span", default)]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub(crate) min_duration: Duration,
    /// The weight is kept until the canary has ended at least so many calls at it.
    #[serde(default)]
    pub(crate) min_calls: Option<u64>,
    /// The step may wait this long for all of that.
    #[serde(default, with = "serialize::maybe_span")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Span>"))]
    pub(crate) deadline: Option<Duration>,
    /// Whether the step waits for proof.
    #[serde(default)]
    pub(crate) advance_when: Option<AdvanceWhen>,
    /// The gates that are asked when all else is met, by name.
    #[serde(default)]
    pub(crate) gates: Vec<String>,
    /// The probes that run while the step lasts, by name.
    #[serde(default)]
    pub(crate) probes: Vec<String>,
}

/// What must be well before the promotion.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Promote"))]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PromoteDraft {
    /// The gates that are asked after those of the last step, by name.
    pub(crate) gates: Vec<String>,
}

impl StepDraft {
    pub(crate) fn new((weight, min_duration): (Weight, Duration)) -> Self {
        let (gates, probes) = (Vec::new(), Vec::new());
        Self {
            weight,
            min_duration,
            min_calls: None,
            deadline: None,
            advance_when: None,
            gates,
            probes,
        }
    }
}

mod maybe_weight {
    use canary_core::Weight;
    use serde::{Deserialize, Deserializer, de};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Weight>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse()).transpose().map_err(de::Error::custom)
    }
}
