use std::time::Duration;

use canary_analysis::{Margin, Margins, Monitor, SlowLimit, Until};
use serde::{Deserialize, Serialize};

use crate::serialize;

/// A monitor of the judge, as a plan writes it.
///
/// What is not said is as [`Monitor`] has it by default.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MonitorSpec {
    /// What is watched.
    pub measure: MeasureSpec,
    /// Only the calls of this class of routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Another name than the monitor would have by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it has a say.
    #[serde(default)]
    pub role: WatchRole,
    /// What is counted: keys, if traffic is sticky.
    #[serde(default)]
    pub count_by: CountBy,
    /// What is harm, and what is good enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margins: Option<WatchMargins>,
}

/// What a [`MonitorSpec`] watches.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MeasureSpec {
    /// Calls that failed, or for which the canary was not ready.
    Failures,
    /// Calls whose caller went away.
    Cancelled,
    /// Calls that took longer than a time.
    SlowerThan(SlowerThan),
    /// Calls that took longer than most of stable's.
    SlowerThanStable(SlowerThanStable),
    /// Negative feedback of users.
    Feedback,
    /// Adverse events of the application's own, by this name.
    Event(String),
    /// Whether calls are split as the weight asks.
    Share,
}

/// A time that calls have.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SlowerThan {
    /// The time, up to 68 s.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub limit: Duration,
    /// What is timed.
    #[serde(default)]
    pub until: LatencyKind,
}

/// The time that a part of stable's calls did not exceed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SlowerThanStable {
    /// That part, `0.5..=0.999`.
    pub quantile: f64,
    /// What is timed.
    #[serde(default)]
    pub until: LatencyKind,
}

/// Which part of a call is timed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LatencyKind {
    /// Until the head of the response.
    #[default]
    Head,
    /// Until the end of the response.
    End,
}

/// Whether a [`MonitorSpec`] has a say.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WatchRole {
    /// It decides.
    #[default]
    Decides,
    /// It is only shown.
    Watches,
}

/// What a [`MonitorSpec`] counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CountBy {
    /// Every call.
    #[default]
    Calls,
    /// Every key once per weight.
    Keys,
}

/// What is harm, and what is good enough; see [`Margins`].
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WatchMargins {
    /// Worse: above both.
    pub worse: WatchMargin,
    /// Good enough: below either.
    pub good: WatchMargin,
}

/// One of two [`WatchMargins`].
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WatchMargin {
    /// The canary's adverse rate as a multiple of stable's, `1.0..=1000.0`.
    pub ratio: f64,
    /// The canary's adverse rate in itself, above 0.
    pub rate: f64,
}

impl MonitorSpec {
    pub(crate) const fn of(measure: MeasureSpec) -> Self {
        let (role, count_by) = (WatchRole::Decides, CountBy::Calls);
        Self { measure, class: None, name: None, role, count_by, margins: None }
    }

    /// The judge's monitor; a field and what is wrong with it, if there can be none.
    pub(crate) fn monitor(&self) -> Result<Monitor, (&'static str, String)> {
        let wrong = |error: &dyn std::fmt::Display| ("measure", error.to_string());
        let mut monitor = match &self.measure {
            MeasureSpec::Failures => Monitor::failures(),
            MeasureSpec::Cancelled => Monitor::cancelled(),
            MeasureSpec::SlowerThan(SlowerThan { limit, until }) => {
                let limit = SlowLimit::fixed(*limit).map_err(|error| wrong(&error))?;
                Monitor::slow(until.to_until(), limit)
            }
            MeasureSpec::SlowerThanStable(SlowerThanStable { quantile, until }) => {
                let limit = SlowLimit::stable_quantile(*quantile).map_err(|error| wrong(&error))?;
                Monitor::slow(until.to_until(), limit)
            }
            MeasureSpec::Feedback => Monitor::feedback(),
            MeasureSpec::Event(name) => Monitor::event(name),
            MeasureSpec::Share => Monitor::share(),
        };
        if let Some(class) = &self.class {
            monitor = monitor.of_class(class);
        }
        if let Some(name) = &self.name {
            monitor = monitor.named(name);
        }
        if self.role == WatchRole::Watches {
            monitor = monitor.watch_only();
        }
        if self.count_by == CountBy::Keys {
            monitor = monitor.per_key();
        }
        if let Some(WatchMargins { worse, good }) = self.margins {
            let [worse, good] =
                [worse, good].map(|WatchMargin { ratio, rate }| Margin { ratio, rate });
            let margins = Margins::try_new(worse, good);
            monitor =
                monitor.with_margins(margins.map_err(|error| ("margins", error.to_string()))?);
        }
        Ok(monitor)
    }
}

impl LatencyKind {
    const fn to_until(self) -> Until {
        match self {
            Self::Head => Until::Head,
            Self::End => Until::End,
        }
    }
}
