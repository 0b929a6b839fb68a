use std::{collections::BTreeMap, time::Duration};

use canary_core::Weight;
use serde::Deserialize;

use super::{
    calendar::WrittenCalendar,
    gate::{Gate, NotifyTarget},
    monitor::{AlwaysWatched, MonitorSpec},
    policy::{OnDegraded, OnInconclusive, SecondProofSpec},
    probe::Probe,
    ramp::{Exponential, Linear},
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
    /// The location of this schema, for editors.
    #[serde(rename = "$schema")]
    pub(crate) _schema: Option<String>,
    /// The name of an AWS deployment configuration, such as "Canary10Percent5Minutes".
    pub(crate) preset: Option<String>,
    /// Steps that rise by the same weight.
    pub(crate) linear: Option<Linear>,
    /// Steps that rise by the same factor.
    pub(crate) exponential: Option<Exponential>,
    /// The steps, unless `preset`, `linear`, `exponential` or `by_hand` takes their place.
    pub(crate) steps: Option<Vec<StepDraft>>,
    /// Whether operators set the weight, instead of steps.
    pub(crate) by_hand: Option<bool>,
    /// The default of `min_calls` for steps; 100 if omitted.
    pub(crate) min_calls: Option<u64>,
    /// The default of `deadline` for steps; a day if omitted, and "none" for no deadline.
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::TimeLimit>"))]
    pub(crate) step_deadline: Option<TimeLimit>,
    /// The default of `advance_when` for steps.
    pub(crate) advance_when: Option<AdvanceWhen>,
    /// The default of `without_proof_after` for steps and the bake; never if omitted.
    #[serde(with = "serialize::maybe_span")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Span>"))]
    pub(crate) without_proof_after: Option<Duration>,
    /// The conditions for the first canary call.
    pub(crate) start: Start,
    /// The conditions for the promotion, in addition to proof that the canary is healthy.
    pub(crate) promote: PromoteDraft,
    /// The phase after the last step, in which the canary serves nearly all calls.
    pub(crate) bake: Option<Bake>,
    /// The maximum weight that the plan and operators may set; 100% by default. If it is below
    /// 100%, an operator has to promote.
    #[serde(deserialize_with = "serialize::maybe_weight::deserialize")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Percent>"))]
    pub(crate) max_weight: Option<Weight>,
    /// The deadline of the whole rollout, including pauses; none by default.
    #[serde(with = "serialize::maybe_span")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Span>"))]
    pub(crate) deadline: Option<Duration>,
    /// The reaction to a degraded canary; "roll_back" by default, and "report" by hand.
    pub(crate) on_degraded: Option<OnDegraded>,
    /// The reaction to a deadline that passes before the conditions are met.
    pub(crate) on_inconclusive: OnInconclusive,
    /// The maximum probability of a false rollback over the whole rollout, above 0 and at most 0.5;
    /// 0.01 by default.
    pub(crate) alpha: Option<f64>,
    /// The maximum probability of a false promotion, above 0 and at most 0.5; 0.05 by default.
    pub(crate) beta: Option<f64>,
    /// The second proof of harm in services in which stable has outages of its own: `"never"`, or
    /// its values.
    pub(crate) second_proof: Option<SecondProofSpec>,
    /// The judge's monitors. By default: failures, unanswered calls, cancelled calls, calls slower
    /// than stable's 99th percentile, and the share.
    pub(crate) monitors: Option<Vec<MonitorSpec>>,
    /// The default of `warm_up` for monitors; two minutes for slow calls and none for others if
    /// omitted.
    #[serde(with = "serialize::maybe_span")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Span>"))]
    pub(crate) warm_up: Option<Duration>,
    /// The measures that the judge does not watch, although it watches them in every other plan:
    /// unanswered and cancelled calls.
    pub(crate) unwatched: Vec<AlwaysWatched>,
    /// The gates by name.
    pub(crate) gates: BTreeMap<String, Gate>,
    /// The probes by name.
    pub(crate) probes: BTreeMap<String, Probe>,
    /// The times at which the plan may raise the weight; always by default.
    pub(crate) calendar: Option<WrittenCalendar>,
    /// The receivers of notifications by name.
    pub(crate) notify: BTreeMap<String, NotifyTarget>,
}

/// A step. Omitted fields have the plan's defaults.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Step"))]
#[serde(deny_unknown_fields)]
pub(crate) struct StepDraft {
    /// The weight: not below that of the previous step. Steps at 0% come first, and only probes, gates
    /// and mirrored calls reach the canary in them. Steps at 100% come last, and need proof before.
    #[serde(with = "serialize::weight")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub(crate) weight: Weight,
    /// The minimum time at this weight; 0s by default.
    #[serde(with = "serialize::span", default)]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub(crate) min_duration: Duration,
    /// The minimum number of canary calls that end at this weight; none at 0%.
    #[serde(default)]
    pub(crate) min_calls: Option<u64>,
    /// The deadline for the conditions of the step; "none" for no deadline.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::TimeLimit>"))]
    pub(crate) deadline: Option<TimeLimit>,
    /// The verdict that the step requires.
    #[serde(default)]
    pub(crate) advance_when: Option<AdvanceWhen>,
    /// The time at this weight after which the step goes on without proof, unless the canary is
    /// degraded.
    #[serde(default, with = "serialize::maybe_span")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Span>"))]
    pub(crate) without_proof_after: Option<Duration>,
    /// The gates that are asked when all other conditions are met, by name.
    #[serde(default)]
    pub(crate) gates: Vec<String>,
    /// The probes that run during the step, by name.
    #[serde(default)]
    pub(crate) probes: Vec<String>,
}

/// The conditions for the promotion.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Promote"))]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PromoteDraft {
    /// The gates that are asked after those of the last step, by name.
    pub(crate) gates: Vec<String>,
}

/// A time limit as written: a duration, or "none".
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct TimeLimit(#[serde(with = "serialize::limit")] pub(crate) Option<Duration>);

impl StepDraft {
    pub(crate) fn new((weight, min_duration): (Weight, Duration)) -> Self {
        let (gates, probes) = (Vec::new(), Vec::new());
        Self {
            weight,
            min_duration,
            min_calls: None,
            deadline: None,
            advance_when: None,
            without_proof_after: None,
            gates,
            probes,
        }
    }
}
