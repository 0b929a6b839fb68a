use std::{fmt, str, time::Duration};

use canary_core::Weight;
use serde::{Deserialize, Serialize};

use crate::serialize;

/// The plans that managed services offer, by the names by which people know them.
///
/// Only weights and times are theirs. As every plan these wait for calls, roll back what is
/// degraded, and promote what is proven.
///
/// | names | of | weights | bake |
/// |---|---|---|---|
/// | `Canary10Percent5Minutes`, `..10Minutes`, `..15Minutes`, `..30Minutes` | CodeDeploy, Lambda | 10% for that long | none |
/// | `Canary10Percent20Minutes` | AppConfig | 10%, 20%, 40%, 80%, for 5 minutes each | 10 minutes |
/// | `Linear10PercentEvery1Minute`, `..2Minutes`, `..3Minutes`, `..10Minutes` | CodeDeploy, Lambda | 10%, 20%, .. 90%, for that long each | none |
/// | `Linear20PercentEvery6Minutes` | AppConfig | 20%, 40%, 60%, 80%, for 6 minutes each | 30 minutes |
/// | `Linear50PercentEvery30Seconds` | AppConfig | 50% for 30 seconds | 1 minute |
/// | `AllAtOnce` | all of them | 99% | 10 minutes |
///
/// AppConfig's exponential plan doubles its share until everybody is reached, within 20 minutes in
/// all. `AllAtOnce` leaves 1% to stable, since there is nothing to compare with otherwise.
///
/// The prefixes `CodeDeployDefault.`, `CodeDeployDefault.Lambda`, `CodeDeployDefault.ECS`, and
/// `AppConfig.` may stand before a name, and CodeDeploy's `Linear10PercentEvery1Minutes` is
/// `Linear10PercentEvery1Minute`.
///
/// ```
/// use canary_rollout::plan::Preset;
///
/// let preset: Preset = "CodeDeployDefault.LambdaCanary10Percent5Minutes".parse()?;
/// assert_eq!(preset.to_string(), "Canary10Percent5Minutes");
/// assert_eq!(preset.plan().steps().len(), 1);
/// # Ok::<(), canary_rollout::plan::UnknownPreset>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Preset {
    name: &'static str,
    shape: Shape,
    bake: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shape {
    Linear(Linear),
    Exponential(Exponential),
}

/// Steps that rise by the same weight.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Linear {
    /// The weight of the first step, and by how much each one is above that before.
    #[serde(with = "serialize::weight")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub(crate) by: Weight,
    /// How long each step lasts at least.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub(crate) every: Duration,
    /// No step is above this weight.
    #[serde(with = "serialize::weight", default = "all")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub(crate) to: Weight,
}

/// Steps that rise by the same factor.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Exponential {
    /// The weight of the first step.
    #[serde(with = "serialize::weight")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub(crate) from: Weight,
    /// By how much the weight is multiplied with each step: 2 unless told otherwise.
    #[serde(default = "two")]
    pub(crate) factor: u32,
    /// How long each step lasts at least.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub(crate) every: Duration,
    /// No step is above this weight.
    #[serde(with = "serialize::weight", default = "all")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub(crate) to: Weight,
}

impl Preset {
    /// All of them.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        &PRESETS
    }

    /// The preset's name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.name
    }

    /// The preset as a plan, with the defaults of a plan in all else.
    #[must_use]
    pub fn plan(&self) -> super::definition::Plan {
        super::definition::Plan::from_preset(*self)
    }

    pub(crate) const fn bake(&self) -> Option<Duration> {
        self.bake
    }

    pub(crate) fn steps(&self) -> Vec<(Weight, Duration)> {
        match &self.shape {
            Shape::Linear(linear) => linear.steps(),
            Shape::Exponential(exponential) => exponential.steps(),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

impl str::FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        let mut name = text;
        for prefix in ["CodeDeployDefault.", "AppConfig.", "Lambda", "ECS"] {
            name = name.strip_prefix(prefix).unwrap_or(name);
        }
        let name = if name == "Linear10PercentEvery1Minutes" {
            "Linear10PercentEvery1Minute"
        } else {
            name
        };
        let found = PRESETS.iter().find(|preset| preset.name == name);
        found.copied().ok_or_else(|| UnknownPreset(text.to_owned()))
    }
}

impl Linear {
    pub(crate) fn steps(&self) -> Vec<(Weight, Duration)> {
        let next = |weight: u32| weight.saturating_add(self.by.ppm());
        steps(self.by, self.to, self.every, next)
    }
}

impl Exponential {
    pub(crate) fn steps(&self) -> Vec<(Weight, Duration)> {
        let next = |weight: u32| weight.saturating_mul(self.factor);
        steps(self.from, self.to, self.every, next)
    }
}

/// The steps below 100%, to which the promotion belongs; one too many for a plan at most.
fn steps(
    from: Weight,
    to: Weight,
    every: Duration,
    next: impl Fn(u32) -> u32,
) -> Vec<(Weight, Duration)> {
    let mut steps = Vec::new();
    let mut ppm = from.ppm();
    while let Ok(weight) = Weight::try_from_ppm(ppm)
        && weight < Weight::FULL
        && weight <= to
        && steps.len() <= super::check::MAX_STEPS
    {
        steps.push((weight, every));
        ppm = next(ppm);
    }
    steps
}

/// A name that no preset has. The message lists those that there are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownPreset(String);

impl fmt::Display for UnknownPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = PRESETS.iter().map(Preset::as_str).collect();
        write!(f, "preset {:?} is unknown: expected one of {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownPreset {}

const fn all() -> Weight {
    Weight::FULL
}

const fn two() -> u32 {
    2
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

const fn linear(
    name: &'static str,
    percent: u32,
    every: Duration,
    bake: Option<Duration>,
) -> Preset {
    let shape =
        Shape::Linear(Linear { by: Weight::from_percent(percent), every, to: Weight::FULL });
    Preset { name, shape, bake }
}

/// One step at 10%, as a line that ends there.
const fn canary(name: &'static str, every: Duration) -> Preset {
    let ten = Weight::from_percent(10);
    Preset { name, shape: Shape::Linear(Linear { by: ten, every, to: ten }), bake: None }
}

/// In the order of the table above.
static PRESETS: [Preset; 12] = [
    canary("Canary10Percent5Minutes", minutes(5)),
    canary("Canary10Percent10Minutes", minutes(10)),
    canary("Canary10Percent15Minutes", minutes(15)),
    canary("Canary10Percent30Minutes", minutes(30)),
    Preset {
        name: "Canary10Percent20Minutes",
        shape: Shape::Exponential(Exponential {
            from: Weight::from_percent(10),
            factor: 2,
            every: minutes(5),
            to: Weight::FULL,
        }),
        bake: Some(minutes(10)),
    },
    linear("Linear10PercentEvery1Minute", 10, minutes(1), None),
    linear("Linear10PercentEvery2Minutes", 10, minutes(2), None),
    linear("Linear10PercentEvery3Minutes", 10, minutes(3), None),
    linear("Linear10PercentEvery10Minutes", 10, minutes(10), None),
    linear("Linear20PercentEvery6Minutes", 20, minutes(6), Some(minutes(30))),
    linear("Linear50PercentEvery30Seconds", 50, Duration::from_secs(30), Some(minutes(1))),
    linear("AllAtOnce", 99, Duration::ZERO, Some(minutes(10))),
];
