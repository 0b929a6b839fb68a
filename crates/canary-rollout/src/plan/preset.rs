use std::{fmt, str, time::Duration};

use canary_core::Weight;

use super::{
    definition::Plan,
    ramp::{Exponential, Linear},
};

/// The deployment configurations of AWS CodeDeploy and AppConfig, by their names.
///
/// A preset defines the weights, the durations and the bake. As in every plan, steps also wait for
/// calls, a degraded canary is rolled back, and the promotion needs proof.
///
/// | names | service | weights | bake |
/// |---|---|---|---|
/// | `Canary10Percent5Minutes`, `..10Minutes`, `..15Minutes`, `..30Minutes` | CodeDeploy | 10% for that long | none |
/// | `Canary10Percent20Minutes` | AppConfig | 10%, 20%, 40%, 80%, for 5 minutes each | 10 minutes |
/// | `Linear10PercentEvery1Minute`, `..2Minutes`, `..3Minutes`, `..10Minutes` | CodeDeploy | 10%, 20%, .. 90%, for that long each | none |
/// | `Linear20PercentEvery6Minutes` | AppConfig | 20%, 40%, 60%, 80%, for 6 minutes each | 30 minutes |
/// | `Linear50PercentEvery30Seconds` | AppConfig | 50% for 30 seconds | 1 minute |
/// | `AllAtOnce` | all | 99% for no minimum time | 10 minutes |
///
/// `AllAtOnce` leaves 1% to stable, because the judge needs calls to compare with.
///
/// A name may have one of the prefixes `CodeDeployDefault.`, `CodeDeployDefault.Lambda`,
/// `CodeDeployDefault.ECS` and `AppConfig.`. CodeDeploy's `Linear10PercentEvery1Minutes` is
/// accepted as well.
///
/// ```
/// use canary_rollout::plan::{Preset, UnknownPreset};
///
/// let preset: Preset = "CodeDeployDefault.LambdaCanary10Percent5Minutes".parse()?;
/// assert_eq!(preset.to_string(), "Canary10Percent5Minutes");
/// assert_eq!(preset.plan().steps().len(), 1);
/// # Ok::<(), UnknownPreset>(())
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

impl Preset {
    /// Returns all presets.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        &PRESETS
    }

    /// Returns the preset's name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.name
    }

    /// Returns the preset as a plan, with the defaults for everything else.
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan::from_preset(*self)
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

    const fn linear(name: &'static str, by: u32, to: u32, every: u64, bake: u64) -> Self {
        let (by, to) = (Weight::from_percent(by), Weight::from_percent(to));
        let shape = Shape::Linear(Linear { by, every: Duration::from_secs(every), to });
        let bake = if bake == 0 { None } else { Some(Duration::from_secs(bake)) };
        Self { name, shape, bake }
    }

    /// Doubles the weight at each step, from `from`.
    const fn exponential(name: &'static str, from: u32, every: u64, bake: u64) -> Self {
        let (from, every) = (Weight::from_percent(from), Duration::from_secs(every));
        let shape = Shape::Exponential(Exponential { from, factor: 2, every, to: Weight::FULL });
        Self { name, shape, bake: Some(Duration::from_secs(bake)) }
    }
}

/// The columns are the name, the increment and the last weight in percent, and the seconds of each
/// step and of the bake.
#[rustfmt::skip]
static PRESETS: [Preset; 12] = [
    Preset::linear("Canary10Percent5Minutes",       10,  10,   300,     0),
    Preset::linear("Canary10Percent10Minutes",      10,  10,   600,     0),
    Preset::linear("Canary10Percent15Minutes",      10,  10,   900,     0),
    Preset::linear("Canary10Percent30Minutes",      10,  10, 1_800,     0),
    Preset::exponential("Canary10Percent20Minutes", 10,        300,   600),
    Preset::linear("Linear10PercentEvery1Minute",   10, 100,    60,     0),
    Preset::linear("Linear10PercentEvery2Minutes",  10, 100,   120,     0),
    Preset::linear("Linear10PercentEvery3Minutes",  10, 100,   180,     0),
    Preset::linear("Linear10PercentEvery10Minutes", 10, 100,   600,     0),
    Preset::linear("Linear20PercentEvery6Minutes",  20, 100,   360, 1_800),
    Preset::linear("Linear50PercentEvery30Seconds", 50, 100,    30,    60),
    Preset::linear("AllAtOnce",                     99, 100,     0,   600),
];

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
        if name == "Linear10PercentEvery1Minutes" {
            name = "Linear10PercentEvery1Minute";
        }
        let found = PRESETS.iter().find(|preset| preset.name == name);
        found.copied().ok_or_else(|| UnknownPreset(text.to_owned()))
    }
}

/// The error for an unknown [`Preset`] name. The message lists the known names.
#[derive(Clone, Eq, PartialEq)]
pub struct UnknownPreset(String);

impl fmt::Display for UnknownPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if ["HalfAtATime", "OneAtATime"].iter().any(|name| self.0.ends_with(name)) {
            return write!(f, "preset {:?} counts instances, and a plan counts calls", self.0);
        }
        let names: Vec<_> = PRESETS.iter().map(Preset::as_str).collect();
        write!(f, "unknown preset {:?}: expected one of {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownPreset {}

canary_core::debug_as_display!(UnknownPreset);
