use std::time::Duration;

use canary_analysis::{Excess, Margin, Margins, Monitor, Role, SlowLimit, Unit, Until};
use serde::{Deserialize, Serialize};

use super::at_most::AtMost;
use crate::{serialize, span::Span};

/// A monitor of the judge, as a plan defines it. Omitted fields have the defaults of [`Monitor`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MonitorSpec {
    /// The events that count against the canary.
    pub measure: MeasureSpec,
    /// The route class whose calls are counted; all calls if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The monitor's name, instead of the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the monitor decides, or is only shown.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Role"))]
    pub role: Role,
    /// The unit that is counted; keys by default if calls may be sticky, and calls otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Unit>"))]
    pub count_by: Option<Unit>,
    /// An absolute limit for the canary, instead of the comparison with stable: a share of calls such
    /// as "0.1%", or a number of calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::AtMost>"))]
    pub at_most: Option<AtMost>,
    /// The step of the plan from which on the monitor judges, from 1; the first one if omitted. Before,
    /// its calls are no evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_step: Option<u32>,
    /// The differences that count as harm and as good enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margins: Option<MarginsSpec>,
    /// The time after the canary's first call that is left out of the comparison, at most an hour;
    /// by default that of the plan. Not for the share.
    #[serde(default, with = "serialize::maybe_span", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Span>"))]
    pub warm_up: Option<Duration>,
}

/// The measure of a [`MonitorSpec`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MeasureSpec {
    /// Calls that failed, or that stable served because the canary was not ready.
    Failures,
    /// Calls that the caller cancelled.
    Cancelled,
    /// Calls without an answer when they are 5, 30 or 120 s old.
    Unanswered,
    /// Calls that took longer than a fixed limit.
    SlowerThan(SlowerThan),
    /// Calls that exceed a quantile of stable's calls by a ratio and a time.
    SlowerThanStable(SlowerThanStable),
    /// Negative feedback of users.
    Feedback,
    /// Adverse events of the application with this name.
    Event(String),
    /// Calls that were not split as the weight requests.
    Share,
}

/// A fixed limit for the duration of calls.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SlowerThan {
    /// The limit, at most 68 s.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub limit: Duration,
    /// The part of a call that is timed: until the response's head, or until its end.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Until"))]
    pub until: Until,
}

/// A limit for the duration of calls that follows stable.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SlowerThanStable {
    /// The quantile of stable's calls, `0.5..=0.999`.
    pub quantile: f64,
    /// The excess over that quantile that makes a call of the canary slow.
    #[serde(default)]
    pub by: ExcessSpec,
    /// The part of a call that is timed: until the response's head, or until its end.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Until"))]
    pub until: Until,
}

/// The excess over stable's latency that matters: both values at once; see [`Excess`].
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Excess"))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ExcessSpec {
    /// A multiple of stable's latency, `1.0..=1000.0`; 1.25 by default.
    pub ratio: f64,
    /// A time above stable's latency, at most 68 s; 10ms by default.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub time: Duration,
}

impl Default for ExcessSpec {
    fn default() -> Self {
        let excess = Excess::default();
        Self { ratio: excess.ratio(), time: excess.time() }
    }
}

/// A measure that the judge always watches, unless the plan lists it in `unwatched`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlwaysWatched {
    /// Calls without an answer when they are 5, 30 or 120 s old.
    Unanswered,
    /// Calls that the caller cancelled.
    Cancelled,
}

impl AlwaysWatched {
    pub(crate) const ALL: [Self; 2] = [Self::Unanswered, Self::Cancelled];

    pub(crate) const fn measure(self) -> MeasureSpec {
        match self {
            Self::Unanswered => MeasureSpec::Unanswered,
            Self::Cancelled => MeasureSpec::Cancelled,
        }
    }

    /// Returns whether one of the monitors watches it, for all calls.
    pub(crate) fn is_in(self, monitors: &[MonitorSpec]) -> bool {
        let measure = self.measure();
        monitors
            .iter()
            .any(|it| it.measure == measure && it.class.is_none() && it.at_most.is_none())
    }
}

/// The differences that count as harm and as good enough; see [`Margins`].
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MarginsSpec {
    /// The canary is worse if it exceeds both values.
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Margin"))]
    pub worse: Margin,
    /// The canary is good enough if it is below one of the values.
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Margin"))]
    pub good: Margin,
}

impl MonitorSpec {
    pub(crate) const fn new(measure: MeasureSpec) -> Self {
        Self {
            measure,
            class: None,
            name: None,
            role: Role::Decides,
            count_by: None,
            at_most: None,
            from_step: None,
            margins: None,
            warm_up: None,
        }
    }

    /// Returns the monitors of a plan that lists none.
    pub(crate) fn defaults() -> Vec<Self> {
        let p99 =
            SlowerThanStable { quantile: 0.99, by: ExcessSpec::default(), until: Until::Head };
        let measures = [
            MeasureSpec::Failures,
            MeasureSpec::Unanswered,
            MeasureSpec::Cancelled,
            MeasureSpec::SlowerThanStable(p99),
            MeasureSpec::Share,
        ];
        measures.map(Self::new).to_vec()
    }

    /// Returns whether a canary must be proven good by this monitor.
    pub(crate) fn must_be_proven(&self) -> bool {
        self.role == Role::Decides
            && !matches!(self.measure, MeasureSpec::Share | MeasureSpec::Unanswered)
            && !matches!(self.at_most, Some(AtMost::Calls(_)))
    }

    /// Returns the step from which on the monitor judges.
    pub(crate) fn starting_step(&self) -> usize {
        let step = self.from_step.unwrap_or(1).max(1);
        usize::try_from(step).unwrap_or(usize::MAX)
    }

    /// Returns the judge's monitor, or the invalid field and the message. It counts by `default`
    /// unless the plan names the unit.
    pub(crate) fn monitor(&self, default: Unit) -> Result<Monitor, (&'static str, String)> {
        let invalid = |error: &dyn std::fmt::Display| ("measure", error.to_string());
        let mut monitor = match &self.measure {
            MeasureSpec::Failures => Monitor::failures(),
            MeasureSpec::Cancelled => Monitor::cancelled(),
            MeasureSpec::Unanswered => Monitor::unanswered(),
            MeasureSpec::SlowerThan(SlowerThan { limit, until }) => {
                let limit = SlowLimit::fixed(*limit).map_err(|error| invalid(&error))?;
                Monitor::slow(*until, limit)
            }
            MeasureSpec::SlowerThanStable(SlowerThanStable { quantile, by, until }) => {
                let limit =
                    SlowLimit::stable_quantile(*quantile).map_err(|error| invalid(&error))?;
                let excess = Excess::try_new(by.ratio, by.time).map_err(|error| invalid(&error))?;
                Monitor::slow(*until, limit.by(excess))
            }
            MeasureSpec::Feedback => Monitor::feedback(),
            MeasureSpec::Event(name) => Monitor::event(name),
            MeasureSpec::Share => Monitor::share(),
        };
        if let Some(class) = &self.class {
            monitor = monitor.of_class(class);
        }
        if let Some(at_most) = self.at_most {
            if self.margins.is_some() {
                let message = "the limit replaces the comparison with stable: remove `margins` or this \
                               field";
                return Err(("at_most", message.to_owned()));
            }
            let limit = at_most.limit().map_err(|error| ("at_most", error.to_string()))?;
            monitor = monitor.at_most(limit);
        }
        if let Some(name) = &self.name {
            monitor = monitor.named(name);
        }
        if self.role == Role::Watches {
            monitor = monitor.watch_only();
        }
        if self.count_by.unwrap_or(default) == Unit::Keys {
            monitor = monitor.per_key();
        }
        if let Some(MarginsSpec { worse, good }) = self.margins {
            let margins = Margins::try_new(worse, good);
            monitor =
                monitor.with_margins(margins.map_err(|error| ("margins", error.to_string()))?);
        }
        if let Some(warm_up) = self.warm_up {
            check_warm_up(warm_up).map_err(|message| ("warm_up", message))?;
            if !self.has_warm_up() {
                return Err(("warm_up", "this measure has no warm-up".to_owned()));
            }
            monitor = monitor.with_warm_up(warm_up);
        }
        Ok(monitor.starting_at_step(self.starting_step()))
    }

    /// Returns whether the measure can have a warm-up. The split of calls does not depend on how
    /// warm a version is, and a cold version answers within seconds, too.
    pub(crate) fn has_warm_up(&self) -> bool {
        !matches!(self.measure, MeasureSpec::Share | MeasureSpec::Unanswered)
    }
}

pub(super) fn check_warm_up(warm_up: Duration) -> Result<(), String> {
    if warm_up > MAX_WARM_UP {
        return Err(format!("{} is above the maximum of {}", Span(warm_up), Span(MAX_WARM_UP)));
    }
    Ok(())
}

const MAX_WARM_UP: Duration = Duration::from_secs(3600);
