use crate::{
    margins::Margins,
    slow::{SlowLimit, Until},
};

/// One thing the judge watches: what counts as adverse, of which calls, and how much of it is harm.
///
/// A monitor decides, unless told only to [watch](Self::watch_only). It watches all calls, unless
/// [bound](Self::of_class) to a class of routes, so that a broken checkout cannot hide among healthy
/// reads.
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
/// # Ok::<(), canary_analysis::SlowLimitError>(())
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

    /// Watches for calls that failed, or that the canary was not ready for.
    #[must_use]
    pub fn failures() -> Self {
        Self::new("failures", Measure::Failures, Margins::FAILURES)
    }

    /// Watches for calls whose caller went away: a canary that hangs looks like this.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new("cancelled", Measure::Cancelled, Margins::CANCELLED)
    }

    /// Watches for slow calls. Its name tells the limit: `slow head p99`, `slow end 335.5ms`.
    ///
    /// A call without an answer is not slow, but may be: too many of them keep the canary from being
    /// healthy. To notice a canary that hangs, watch failures or [cancelled](Self::cancelled) calls
    /// too.
    #[must_use]
    pub fn slow(until: Until, limit: SlowLimit) -> Self {
        let margins = limit.quantile().map_or(Margins::SLOW, Margins::of_quantile);
        let until_when = match until {
            Until::Head => "head",
            Until::End => "end",
        };
        Self::new(format!("slow {until_when} {limit}"), Measure::Slow(until, limit), margins)
    }

    /// Watches for negative feedback of users.
    #[must_use]
    pub fn feedback() -> Self {
        Self::new("feedback", Measure::Feedback, Margins::FEEDBACK)
    }

    /// Watches for adverse events of the application's own, such as "order not completed".
    #[must_use]
    pub fn event(name: impl Into<String>) -> Self {
        let name = name.into();
        Self::new(name.clone(), Measure::Event(name), Margins::FAILURES)
    }

    /// Watches whether calls are split as the weight asks. Margins do not apply.
    ///
    /// It is degraded if the assignment itself is broken. It is healthy once the odds of the canary
    /// are known to be within a quarter of those asked, which no promotion waits for.
    #[must_use]
    pub fn share() -> Self {
        Self::new("share", Measure::Share, Margins::FAILURES)
    }

    /// Watches only the calls of this class of routes.
    ///
    /// Feedback and events are told without a class, and a judge refuses to bind them to one. Give
    /// those of a class a name of their own, as in `Monitor::event("checkout not completed")`.
    #[must_use]
    pub fn of_class(mut self, class: impl Into<String>) -> Self {
        let class = class.into();
        self.name = format!("{} of {class}", self.name);
        self.class = Some(class);
        self
    }

    /// Calls the monitor something else. Names must be unique.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Lets the monitor watch but never decide, and leave the whole of `alpha` to the others.
    #[must_use]
    pub const fn watch_only(mut self) -> Self {
        self.role = Role::Watches;
        self
    }

    /// Counts keys instead of calls: to be told to every monitor of sticky traffic.
    ///
    /// See [`KeyLedger`](crate::KeyLedger). The monitor needs its adverse keys
    /// ([`with_adverse_keys`](crate::Observation::with_adverse_keys)) and seen keys
    /// ([`with_seen_keys`](crate::Observation::with_seen_keys)), both by its name, and the calls as
    /// well, by which it notices a canary that hangs. Slow calls can be counted per key beyond a fixed
    /// limit only: what stable's quantile is, is known after the calls.
    ///
    /// Harm is *keys hit so far*, and `margins` are about rates of keys.
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

    /// The monitor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What counts as adverse.
    #[must_use]
    pub const fn measure(&self) -> &Measure {
        &self.measure
    }

    /// The class of routes whose calls are watched; none for all calls.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    /// Whether the monitor decides.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What is counted.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// What is harm, and what can be lived with.
    #[must_use]
    pub const fn margins(&self) -> Margins {
        self.margins
    }

    /// Whether the monitor's health is a condition of the overall verdict.
    pub(crate) fn must_be_proven(&self) -> bool {
        self.role == Role::Decides && self.measure != Measure::Share
    }
}

/// What a [`Monitor`] counts as adverse.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Measure {
    /// Calls that failed or were spilled.
    Failures,
    /// Calls that their caller gave up.
    Cancelled,
    /// Calls that took longer than a limit.
    Slow(Until, SlowLimit),
    /// Negative feedback among all feedback.
    Feedback,
    /// The application's own event of this name.
    Event(String),
    /// Calls that went to the other channel than the weight asks.
    Share,
}

impl Measure {
    /// Whether it is about calls of the data plane, rather than what the application tells.
    pub(crate) const fn is_of_calls(&self) -> bool {
        matches!(self, Self::Failures | Self::Cancelled | Self::Slow(..))
    }
}

/// Whether a [`Monitor`] has a say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Role {
    /// Its verdict counts towards the overall one.
    Decides,
    /// Its verdict is shown.
    Watches,
}

/// What a [`Monitor`] counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unit {
    /// Every call: right if each call is assigned by itself.
    Calls,
    /// Every key once per weight: right if assignment is sticky.
    Keys,
}
