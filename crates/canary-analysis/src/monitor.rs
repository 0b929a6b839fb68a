use crate::{
    margins::Margins,
    slow::{SlowLimit, Until},
};

/// One thing that the judge watches: which calls count, which of them are adverse, and the margins.
///
/// A monitor decides, unless it is [watch-only](Self::watch_only). It watches all calls, unless it
/// is limited to a [class of routes](Self::of_class). A monitor of a class detects a broken
/// checkout that would go unnoticed among healthy reads.
///
/// # Example
///
/// ```
/// use canary_analysis::{Monitor, SlowLimit, Until};
///
/// let monitors = [
///     Monitor::failures(),
///     Monitor::failures().of_class("checkout"),
///     Monitor::slow(Until::Head, SlowLimit::stable_quantile(0.99)?),
///     Monitor::share(),
///     Monitor::feedback().watch_only(),
/// ];
/// assert_eq!(monitors[1].name(), "failures of checkout");
/// # Ok::<(), canary_analysis::error::SlowLimitError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    name: String,
    measure: Measure,
    class: Option<String>,
    role: Role,
    unit: Unit,
    margins: Margins,
}

impl Monitor {
    fn new(name: impl Into<String>, measure: Measure, margins: Margins) -> Self {
        let (role, unit) = (Role::Decides, Unit::Calls);
        Self { name: name.into(), measure, class: None, role, unit, margins }
    }

    /// Watches failed and spilled calls.
    #[must_use]
    pub fn failures() -> Self {
        Self::new("failures", Measure::Failures, Margins::FAILURES)
    }

    /// Watches calls that their caller cancelled. A canary that hangs has many of them.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new("cancelled", Measure::Cancelled, Margins::CANCELLED)
    }

    /// Watches slow calls. The name contains the limit: `slow head p99`, `slow end 335.5ms`.
    ///
    /// A call without a response does not count as slow, but too many of them prevent a healthy
    /// verdict. To detect a canary that hangs, also watch failures or [cancelled](Self::cancelled)
    /// calls.
    #[must_use]
    pub fn slow(until: Until, limit: SlowLimit) -> Self {
        let margins = limit.quantile().map_or(Margins::SLOW, Margins::of_quantile);
        let until_when = match until {
            Until::Head => "head",
            Until::End => "end",
        };
        Self::new(format!("slow {until_when} {limit}"), Measure::Slow(until, limit), margins)
    }

    /// Watches negative feedback of users.
    #[must_use]
    pub fn feedback() -> Self {
        Self::new("feedback", Measure::Feedback, Margins::FEEDBACK)
    }

    /// Watches adverse events that the application reports, such as "order not completed".
    #[must_use]
    pub fn event(name: impl Into<String>) -> Self {
        let name = name.into();
        Self::new(name.clone(), Measure::Event(name), Margins::FAILURES)
    }

    /// Watches whether calls are split as the weight requests. Margins do not apply.
    ///
    /// It is degraded if the assignment is broken. It is healthy once the odds of the canary are
    /// known to be within 25 % of the requested odds. The overall verdict does not need it to be
    /// healthy.
    #[must_use]
    pub fn share() -> Self {
        Self::new("share", Measure::Share, Margins::FAILURES)
    }

    /// Limits the monitor to the calls of a class of routes.
    ///
    /// Feedback and events have no class, and [`Judge::try_new`](crate::Judge::try_new) refuses a
    /// class for them. Use an event name for the class instead, as in `Monitor::event("checkout not
    /// completed")`.
    #[must_use]
    pub fn of_class(mut self, class: impl Into<String>) -> Self {
        let class = class.into();
        self.name = format!("{} of {class}", self.name);
        self.class = Some(class);
        self
    }

    /// Sets the name. Names must be unique within a judge.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Makes the monitor watch-only: it does not decide and takes no part of `alpha`.
    #[must_use]
    pub const fn watch_only(mut self) -> Self {
        self.role = Role::Watches;
        self
    }

    /// Counts keys instead of calls. Use it for every monitor of sticky traffic.
    ///
    /// The monitor needs its adverse keys
    /// ([`with_adverse_keys`](crate::Observation::with_adverse_keys)), its seen keys
    /// ([`with_seen_keys`](crate::Observation::with_seen_keys)), and the calls, to detect a canary
    /// that hangs. A [`KeyLedger`](crate::keys::KeyLedger) counts the keys. Slow calls per key need
    /// a fixed limit, because stable's quantile is known only after the calls.
    ///
    /// The rates, and so the margins, are about keys that had an adverse call *so far*.
    #[must_use]
    pub const fn per_key(mut self) -> Self {
        self.unit = Unit::Keys;
        self
    }

    /// Replaces the default margins.
    #[must_use]
    pub const fn with_margins(mut self, margins: Margins) -> Self {
        self.margins = margins;
        self
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what counts as adverse.
    #[must_use]
    pub const fn measure(&self) -> &Measure {
        &self.measure
    }

    /// Returns the class of routes, or `None` if the monitor watches all calls.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    /// Returns whether the monitor decides or only watches.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns whether the monitor counts calls or keys.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// Returns the margins.
    #[must_use]
    pub const fn margins(&self) -> Margins {
        self.margins
    }

    /// Returns whether the overall verdict needs this monitor to be healthy.
    pub(crate) fn must_be_proven(&self) -> bool {
        self.role == Role::Decides && self.measure != Measure::Share
    }
}

/// The calls or events that a [`Monitor`] counts as adverse.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Measure {
    /// Calls that failed or were spilled.
    Failures,
    /// Calls that their caller cancelled.
    Cancelled,
    /// Calls that took longer than a limit.
    Slow(Until, SlowLimit),
    /// Negative feedback among all feedback.
    Feedback,
    /// Application events of this name.
    Event(String),
    /// The share of calls, compared with the weight. No call is adverse.
    Share,
}

impl Measure {
    /// Returns whether it is counted from calls, instead of feedback or events.
    pub(crate) const fn is_of_calls(&self) -> bool {
        matches!(self, Self::Failures | Self::Cancelled | Self::Slow(..))
    }
}

/// Whether a [`Monitor`] decides.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum Role {
    /// Its verdict is part of the overall verdict.
    #[default]
    Decides,
    /// Its verdict is only reported.
    Watches,
}

/// The unit that a [`Monitor`] counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum Unit {
    /// Each call. Use it if calls are assigned independently.
    #[default]
    Calls,
    /// Each key once per weight. Use it if assignment is sticky.
    Keys,
}
