use std::time::Duration;

use crate::{
    limit::Limit,
    margins::Margins,
    slow::{SlowLimit, Until},
};

mod starting_step;

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
    callers: Callers,
    margins: Margins,
    warm_up: Option<Duration>,
    limit: Option<Limit>,
    starting_step: usize,
}

/// The callers whose calls a monitor per key counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Callers {
    WithKey,
    WithoutKey,
}

impl Monitor {
    fn new(name: impl Into<String>, measure: Measure, margins: Margins) -> Self {
        let (role, unit) = (Role::Decides, Unit::Calls);
        Self {
            name: name.into(),
            measure,
            class: None,
            role,
            unit,
            callers: Callers::WithKey,
            margins,
            warm_up: None,
            limit: None,
            starting_step: 1,
        }
    }

    /// Watches failed calls, and calls for which the canary was not ready.
    #[must_use]
    pub fn failures() -> Self {
        Self::new("failures", Measure::Failures, Margins::FAILURES)
    }

    /// Watches calls that their caller cancelled. A canary that hangs has many of them.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new("cancelled", Measure::Cancelled, Margins::CANCELLED)
    }

    /// Watches calls that have no answer, the head of a response, when they reach an
    /// [`Age`](canary_core::Age): 5, 30 or 120 seconds. A canary that hangs is detected within
    /// seconds, although none of its calls has ended.
    ///
    /// It is degraded if such calls are more frequent than stable's. Otherwise it is inconclusive,
    /// and the overall verdict does not need it to be healthy: the other monitors already take calls
    /// without a response for adverse ones.
    ///
    /// [Per key](Self::per_key), it watches keys that had no answer for some time. The caller that
    /// records them chooses the time.
    #[must_use]
    pub fn unanswered() -> Self {
        Self::new("unanswered", Measure::Unanswered, Margins::UNANSWERED)
    }

    /// Watches slow calls. The name contains the limit: `slow head p99`, `slow end 335.5ms`.
    ///
    /// A call without a response does not count as slow, but too many of them prevent a healthy
    /// verdict. To detect a canary that hangs, also watch [unanswered](Self::unanswered) calls.
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

    /// Makes the monitor watch-only: it does not decide and takes no part of
    /// [`alpha`](crate::Judge::alpha_of). Its finding has the threshold that it would have if it decided.
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
    /// that hangs. A [`KeyLedger`](crate::keys::KeyLedger) counts the keys. The limit of slow calls
    /// for the next observation is [`Judge::slow_bucket`](crate::Judge::slow_bucket).
    ///
    /// The rates, and so the margins, are about keys that had an adverse call *so far*.
    #[must_use]
    pub const fn per_key(mut self) -> Self {
        self.unit = Unit::Keys;
        self
    }

    /// Counts the calls without a key of a layer whose other calls are counted
    /// [per key](Self::per_key).
    ///
    /// Such a call is assigned at random and counts as a key of its own; see
    /// [`KeyLedger::record_without_key`](crate::keys::KeyLedger::record_without_key). A monitor of
    /// its own keeps a flood of such calls away from the evidence of the callers with a key. The
    /// overall verdict does not need it to be healthy, because there may be no such calls.
    ///
    /// ```
    /// use canary_analysis::Monitor;
    ///
    /// assert_eq!(Monitor::failures().without_key().name(), "failures without a key");
    /// ```
    #[must_use]
    pub fn without_key(mut self) -> Self {
        self.name.push_str(" without a key");
        self.callers = Callers::WithoutKey;
        self.per_key()
    }

    /// Compares the canary with an absolute [`Limit`] instead of stable, in place of the margins.
    ///
    /// [`Judge::try_new`](crate::Judge::try_new) refuses a limit for the share and for unanswered
    /// calls. Apply it after [`of_class`](Self::of_class), whose class comes first in the name.
    #[must_use]
    pub fn at_most(mut self, limit: Limit) -> Self {
        self.name = format!("{} at most {limit}", self.name);
        // A number of calls has no rate: any will do, because it is not used.
        self.margins = Margins::of_limit(limit.as_rate().unwrap_or(0.5));
        self.limit = Some(limit);
        self
    }

    /// Replaces the default margins.
    #[must_use]
    pub const fn with_margins(mut self, margins: Margins) -> Self {
        self.margins = margins;
        self
    }

    /// Sets the monitor's [warm-up](Self::warm_up). Zero turns it off.
    #[must_use]
    pub const fn with_warm_up(mut self, warm_up: Duration) -> Self {
        self.warm_up = Some(warm_up);
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

    /// Returns whether the monitor counts the calls [without a key](Self::without_key).
    #[must_use]
    pub fn is_without_key(&self) -> bool {
        self.callers == Callers::WithoutKey
    }

    /// Returns the absolute limit, or `None` if the monitor compares the canary with stable.
    #[must_use]
    pub const fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Returns the largest number of adverse calls of the canary, if that is the limit.
    pub(crate) fn max_adverse(&self) -> Option<u64> {
        self.limit.and_then(Limit::as_count)
    }

    /// Returns the margins. With an absolute limit, the rates are the limit, and the ratios have no
    /// meaning.
    #[must_use]
    pub const fn margins(&self) -> Margins {
        self.margins
    }

    /// Returns whether the monitor compares all calls, or all calls with a key, with those of stable.
    pub(crate) fn compares_all_calls(&self) -> bool {
        self.class.is_none() && self.limit.is_none() && !self.is_without_key()
    }

    /// Returns the fraction of stable's calls that is adverse by definition: those above a quantile of
    /// stable's latency. `None` if the fraction depends on the service.
    ///
    /// ```
    /// use canary_analysis::{Monitor, SlowLimit, Until};
    ///
    /// let slow = Monitor::slow(Until::Head, SlowLimit::stable_quantile(0.75)?);
    /// assert_eq!(slow.rate_by_definition(), Some(0.25));
    /// assert_eq!(Monitor::failures().rate_by_definition(), None);
    /// # Ok::<(), canary_analysis::error::SlowLimitError>(())
    /// ```
    #[must_use]
    pub fn rate_by_definition(&self) -> Option<f64> {
        match &self.measure {
            Measure::Slow(_, limit) => limit.quantile().map(|quantile| 1.0 - quantile),
            _ => None,
        }
    }

    /// Returns the time after the canary's first call that the monitor leaves out of the
    /// comparison, for both channels: a new version has cold caches, and is slow at first.
    ///
    /// It is two minutes for slow calls, and zero for other measures. The share and unanswered calls
    /// have none: a cold version that hangs still hangs.
    ///
    /// A warm-up begins with the first call of the canary that the judge observes, and lasts for
    /// the [durations](crate::Observation::with_duration) of the observations. Later steps have
    /// none, and a restored judge continues with it: if a process restarts, both versions in it
    /// start cold. During the warm-up the canary is not healthy, and degraded only by a *brake*:
    /// proof that its rate is above one half, and above `worse.ratio` times stable's. A limit at a
    /// quantile of stable's latency has no brake, since all calls of a cold canary can be slower
    /// than that.
    #[must_use]
    pub fn warm_up(&self) -> Duration {
        match self.measure {
            Measure::Share | Measure::Unanswered => Duration::ZERO,
            Measure::Slow(..) => self.warm_up.unwrap_or(DEFAULT_WARM_UP),
            _ => self.warm_up.unwrap_or_default(),
        }
    }

    /// Returns whether the overall verdict needs this monitor to be healthy.
    pub(crate) fn must_be_proven(&self) -> bool {
        let can_be_proven = !matches!(self.measure, Measure::Share | Measure::Unanswered)
            && self.max_adverse().is_none();
        self.role == Role::Decides && can_be_proven && !self.is_without_key()
    }
}

/// In simulations, a canary that is three times slower in its first two minutes was never rolled
/// back with this warm-up, and always with one of a minute.
const DEFAULT_WARM_UP: Duration = Duration::from_secs(120);

/// The calls or events that a [`Monitor`] counts as adverse.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Measure {
    /// Calls that failed, or for which the canary was not ready.
    Failures,
    /// Calls that their caller cancelled.
    Cancelled,
    /// Calls that have no answer when they reach an [`Age`](canary_core::Age).
    Unanswered,
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
    #[must_use]
    pub const fn is_of_calls(&self) -> bool {
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
