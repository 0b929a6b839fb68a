use std::{collections::BTreeMap, error::Error as _, ops::Not, time::Duration};

use canary_analysis::{Judge, Levels, Monitor, Role, SecondProof, Unit};
use canary_core::Weight;
use serde::{Deserialize, Serialize, de};

use super::{
    AdvanceWhen, AlwaysWatched, Bake, Calendar, Gate, MonitorSpec, NotifyTarget, OnDegraded,
    OnInconclusive, PlanError, PlanFault, Preset, Probe, SecondProofSpec, Start, Step,
    check::Fault,
    draft::Draft,
    reading,
    redact::redact,
    source::{Node, SyntaxError, read_json, read_toml, read_yaml},
};
use crate::serialize;

/// The plan of a rollout: steps, conditions, deadlines, and the reactions to failures.
///
/// A `Plan` is always valid. TOML, JSON and YAML have the same fields. The [guide](crate::guide)
/// explains them, and [`Plan::SCHEMA`] describes them to editors.
///
/// ```
/// use canary_rollout::{Plan, plan::OnDegraded};
///
/// let plan = Plan::from_toml(
///     r#"
///     on_degraded = "roll_back"
///
///     [[steps]]
///     weight = "0.1%"
///     min_duration = "5m"
///     min_calls = 200
///
///     [[steps]]
///     weight = "10%"
///     min_duration = "10m"
///     gates = ["managers"]
///
///     [gates.managers]
///     kind = { approval = "release managers" }
///     deadline = "4h"
///
///     [bake]
///     duration = "30m"
///     "#,
/// )?;
/// assert_eq!(plan.steps()[1].weight, "10%".parse()?);
/// assert_eq!(plan.on_degraded(), OnDegraded::RollBack);
///
/// // Plans are stored as JSON.
/// let stored = serde_json::to_string(&plan)?;
/// assert_eq!(Plan::from_json(&stored)?, plan);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    #[serde(skip_serializing_if = "Start::is_empty")]
    pub(super) start: Start,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) steps: Vec<Step>,
    #[serde(skip_serializing_if = "Not::not")]
    pub(super) by_hand: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bake: Option<Bake>,
    #[serde(with = "serialize::weight")]
    pub(super) max_weight: Weight,
    #[serde(with = "serialize::maybe_span", skip_serializing_if = "Option::is_none")]
    pub(super) deadline: Option<Duration>,
    pub(super) on_degraded: OnDegraded,
    pub(super) on_inconclusive: OnInconclusive,
    pub(super) alpha: f64,
    pub(super) beta: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) second_proof: Option<SecondProofSpec>,
    pub(super) monitors: Vec<MonitorSpec>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unwatched: Vec<AlwaysWatched>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) gates: BTreeMap<String, Gate>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) probes: BTreeMap<String, Probe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) calendar: Option<Calendar>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) notify: BTreeMap<String, NotifyTarget>,
}

impl Plan {
    /// The JSON Schema of plans, from `schema/plan.schema.json`.
    pub const SCHEMA: &str = include_str!("../../schema/plan.schema.json");

    /// The maximum size of a plan as JSON, in bytes. The plan is a part of the document of at most
    /// 16 KiB that replicas share.
    pub const MAX_BYTES: usize = 7 * 1024;

    /// The maximum size of a text with a plan, in bytes. A longer text is refused before it is parsed.
    pub const MAX_TEXT_BYTES: usize = 64 * 1024;

    /// Reads a plan from TOML.
    ///
    /// # Errors
    ///
    /// Returns an error with all faults if `text` is not valid TOML of at most
    /// [`MAX_TEXT_BYTES`](Self::MAX_TEXT_BYTES), or if a field is unknown, missing or invalid.
    pub fn from_toml(text: &str) -> Result<Self, PlanError> {
        Self::read(text, read_toml)
    }

    /// Reads a plan from JSON.
    ///
    /// # Errors
    ///
    /// Returns an error with all faults if `text` is not valid JSON of at most
    /// [`MAX_TEXT_BYTES`](Self::MAX_TEXT_BYTES), or if a field is unknown, missing or invalid.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        Self::read(text, read_json)
    }

    /// Reads a plan from YAML.
    ///
    /// # Errors
    ///
    /// Returns an error with all faults if `text` is not valid YAML of at most
    /// [`MAX_TEXT_BYTES`](Self::MAX_TEXT_BYTES), or if a field is unknown, missing or invalid.
    pub fn from_yaml(text: &str) -> Result<Self, PlanError> {
        Self::read(text, read_yaml)
    }

    fn read(
        text: &str,
        parse: impl FnOnce(&str) -> Result<Node, SyntaxError>,
    ) -> Result<Self, PlanError> {
        if text.len() > Self::MAX_TEXT_BYTES {
            let (len, max) = (text.len(), Self::MAX_TEXT_BYTES);
            let message = format!("the text has {len} bytes, expected at most {max}");
            return Err(PlanError { faults: vec![PlanFault::new((0, 0), "", &message)] });
        }
        // Neither is a part of a text: a decoder leaves them if the bytes are not UTF-8.
        if text.contains('\0') || text.starts_with('\u{FFFD}') {
            let message = "the text is not UTF-8: it looks like UTF-16, so save it as UTF-8";
            return Err(PlanError { faults: vec![PlanFault::new((0, 0), "", message)] });
        }
        let node = parse(text).map_err(|SyntaxError { at, message }| PlanError {
            faults: vec![PlanFault::new((at.line, at.column), "", &message)],
        })?;
        reading::plan(node).map_err(|faults| PlanError { faults })
    }

    pub(crate) fn from_preset(preset: Preset) -> Self {
        let draft = Draft { preset: Some(preset.as_str().to_owned()), ..Draft::default() };
        Self::try_from(draft).expect("every preset is a valid plan, as a test shows")
    }

    /// Creates a plan without steps: operators set the weight, and the judge only reports.
    ///
    /// The weight can be any below 100%, in steps of 0.0001%; a promotion sets 100%. The monitors are
    /// the default ones.
    ///
    /// ```
    /// use canary_rollout::{Actor, Command, Order, Plan, Releases, Rollout, Timestamp};
    ///
    /// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
    /// let mut rollout = Rollout::new("shop".parse()?, releases, Plan::by_hand());
    /// let now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
    /// let set = Command::SetWeight { weight: "0.0001%".parse()? };
    /// rollout.command(now, &Order::new(set, Actor::person("anna"), "a first look"))?;
    /// assert_eq!(
    ///     rollout.pending(now).to_string(),
    ///     "by hand at 0.0001%: waiting for an operator (by anna: a first look)",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the plan is always valid")]
    pub fn by_hand() -> Self {
        let draft = Draft { by_hand: Some(true), ..Draft::default() };
        Self::try_from(draft).expect("a plan by hand is valid, as a test shows")
    }

    /// Returns whether operators set the weight, instead of steps.
    #[must_use]
    pub const fn is_by_hand(&self) -> bool {
        self.by_hand
    }

    /// Returns the conditions for the first canary call.
    #[must_use]
    pub const fn start(&self) -> &Start {
        &self.start
    }

    /// Returns the steps. No weight is below the one before. There is at least one, unless the plan is by hand.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns whether the canary must be proven healthy before it leaves a step: because the step asks
    /// for it, or because stable gets no calls afterwards that could prove anything.
    pub(crate) fn needs_proof(&self, step: usize) -> bool {
        let weight_of = |step: usize| self.steps.get(step).map_or(Weight::FULL, |step| step.weight);
        let gives_all_calls = weight_of(step) < Weight::FULL && weight_of(step + 1) == Weight::FULL;
        (gives_all_calls && self.max_weight == Weight::FULL)
            || self.steps.get(step).is_some_and(|it| it.advance_when == AdvanceWhen::Healthy)
    }

    /// Returns the bake; `None` if the promotion follows the last step.
    #[must_use]
    pub const fn bake(&self) -> Option<&Bake> {
        self.bake.as_ref()
    }

    /// Returns the maximum weight. Only the bake and the promotion may exceed it.
    #[must_use]
    pub const fn max_weight(&self) -> Weight {
        self.max_weight
    }

    /// Returns the time limit of the whole rollout from its start, including pauses; `None` if it is
    /// unlimited.
    #[must_use]
    pub const fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Returns the reaction to a degraded canary.
    #[must_use]
    pub const fn on_degraded(&self) -> OnDegraded {
        self.on_degraded
    }

    /// Returns the reaction to a deadline that passes before the conditions are met.
    #[must_use]
    pub const fn on_inconclusive(&self) -> OnInconclusive {
        self.on_inconclusive
    }

    /// Returns the gates by name.
    #[must_use]
    pub const fn gates(&self) -> &BTreeMap<String, Gate> {
        &self.gates
    }

    /// Returns the probes by name.
    #[must_use]
    pub const fn probes(&self) -> &BTreeMap<String, Probe> {
        &self.probes
    }

    /// Returns the calendar; `None` if the plan may raise the weight at any time.
    #[must_use]
    pub const fn calendar(&self) -> Option<&Calendar> {
        self.calendar.as_ref()
    }

    /// Returns the receivers of notifications by name.
    #[must_use]
    pub const fn notify(&self) -> &BTreeMap<String, NotifyTarget> {
        &self.notify
    }

    /// Returns the plan as JSON for people who may see it but not its secrets: the same fields, with
    /// URLs reduced to scheme, host and port.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a plan serializes as strings and numbers")]
    pub fn to_public_json(&self) -> serde_json::Value {
        let mut json =
            serde_json::to_value(self).expect("a plan serializes as strings and numbers");
        redact(&mut json);
        json
    }

    /// Returns the monitors as the plan defines them, followed by those that the judge
    /// [always](Self::unwatched) has.
    #[must_use]
    pub fn monitors(&self) -> &[MonitorSpec] {
        &self.monitors
    }

    /// Returns the measures that the judge watches in every plan but this one.
    ///
    /// ```
    /// let plan = canary_rollout::Plan::from_toml(
    ///     "preset = 'Canary10Percent5Minutes'\nmonitors = [{ measure = 'failures' }]",
    /// )?;
    /// let names: Vec<_> = plan.judge().monitors().map(|it| it.name().to_owned()).collect();
    /// assert_eq!(names, ["failures", "unanswered", "cancelled"]);
    /// assert!(plan.unwatched().is_empty());
    /// # Ok::<(), canary_rollout::plan::PlanError>(())
    /// ```
    #[must_use]
    pub fn unwatched(&self) -> &[AlwaysWatched] {
        &self.unwatched
    }

    /// Returns the judge's error levels.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a plan is always valid")]
    pub fn levels(&self) -> Levels {
        Levels::try_new(self.alpha, self.beta).expect("the levels were checked")
    }

    /// Returns when harm needs a second proof, and how strong it must be.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a plan is always valid")]
    pub fn second_proof(&self) -> SecondProof {
        let spec = self.second_proof.unwrap_or(SecondProofSpec::With(Default::default()));
        spec.second_proof().expect("the second proof was checked")
    }

    /// Creates a judge without evidence, with the plan's monitors and levels, for a layer that
    /// assigns each call at random.
    ///
    /// ```
    /// let plan = canary_rollout::plan::Preset::all()[0].plan();
    /// let names: Vec<_> = plan.judge().monitors().map(|it| it.name().to_owned()).collect();
    /// assert_eq!(names, ["failures", "unanswered", "cancelled", "slow head p99", "share"]);
    /// ```
    #[must_use]
    pub fn judge(&self) -> Judge {
        self.judge_by(Unit::Calls)
    }

    /// Creates a judge as [`judge`](Self::judge) does, whose monitors count by `unit` unless the
    /// plan names their unit: by [`Unit::Keys`] if the policy of the layer may make calls sticky.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a plan is always valid")]
    pub fn judge_by(&self, unit: Unit) -> Judge {
        let judge = Judge::try_new(self.levels(), self.judge_monitors_by(unit));
        let judge = judge.expect("the monitors were checked").with_restarts();
        judge.with_second_proof(self.second_proof())
    }

    /// Returns the monitors of [`judge`](Self::judge).
    #[must_use]
    pub fn judge_monitors(&self) -> Vec<Monitor> {
        self.judge_monitors_by(Unit::Calls)
    }

    /// Returns the monitors of [`judge_by`](Self::judge_by): those of the plan, and for each
    /// deciding monitor of calls that counts by keys another one for the calls [without a
    /// key](Monitor::without_key).
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a plan is always valid")]
    pub fn judge_monitors_by(&self, unit: Unit) -> Vec<Monitor> {
        let monitors = self.monitors.iter().map(|spec| spec.monitor(unit));
        let monitors = monitors.map(|monitor| monitor.expect("the monitors were checked"));
        let mut monitors: Vec<Monitor> = monitors.collect();
        let without_key: Vec<Monitor> = monitors
            .iter()
            .filter(|it| it.unit() == Unit::Keys && it.role() == Role::Decides)
            .filter(|it| it.measure().is_of_calls())
            .map(|it| it.clone().without_key())
            .collect();
        monitors.extend(without_key);
        monitors
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By way of a value, because the messages of serde repeat values, which may be secret.
        let node = Node::of(&serde_json::Value::deserialize(deserializer)?);
        reading::plan(node).map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(PlanFault::to_string).collect();
            de::Error::custom(faults.join("; "))
        })
    }
}

/// Deserializes a draft, or returns the invalid field and the message.
pub(super) fn draft_of(value: serde_json::Value) -> Result<Draft, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let message = error.inner().to_string();
        let cause = error.inner().source().map(|cause| format!(": {cause}")).unwrap_or_default();
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        (path, message + &cause)
    })
}
