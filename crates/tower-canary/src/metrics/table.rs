/// One of the metrics that a canary publishes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "crates with metrics of their own construct it")]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// What it is counted in.
    pub unit: &'static str,
    /// The names of its labels. Their values are a closed set: nothing that a client sends is one.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// The kind of a [`Metric`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Samples, by size.
    Histogram,
}

/// All metrics that a canary publishes.
pub const TABLE: &[Metric] = &[
    REQUESTS,
    ASSIGNED,
    SPILLED,
    SHED,
    FELL_BACK,
    PANICS,
    TIMED_OUT,
    RATINGS,
    EVENT_RATINGS,
    IN_FLIGHT,
    DURATION,
    HEAD,
    WEIGHT,
    SHARE,
    MODE,
    RELEASE,
    DECISION_AGE,
];

pub(super) const REQUESTS: Metric = Metric {
    name: "canary_requests_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel", "outcome"],
    help: "Calls that ended, by the channel that served them and by success, failure or cancelled",
};
pub(super) const ASSIGNED: Metric = Metric {
    name: "canary_assigned_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel", "reason"],
    help: "Calls given to a channel, by why: random, sticky, rule, forced, propagated, spilled or fell_back",
};
pub(super) const SPILLED: Metric = Metric {
    name: "canary_spilled_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary"],
    help: "Calls assigned to the canary that stable served, because the canary was not ready",
};
pub(super) const SHED: Metric = Metric {
    name: "canary_shed_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary"],
    help: "Spilled calls for which the canary was not asked, because it was busy up to its limit",
};
pub(super) const FELL_BACK: Metric = Metric {
    name: "canary_fallbacks_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary"],
    help: "Calls that the canary failed and stable repeated; they are among the failures",
};
pub(super) const TIMED_OUT: Metric = Metric {
    name: "canary_timeouts_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel"],
    help: "Calls not answered within the layer's time limit; they are among the failures",
};
pub(super) const RATINGS: Metric = Metric {
    name: "canary_ratings_total",
    kind: MetricKind::Counter,
    unit: "ratings",
    labels: &["canary", "channel", "rating"],
    help: "Calls that users rated, by the channel that served them and by good or bad",
};
pub(super) const EVENT_RATINGS: Metric = Metric {
    name: "canary_event_ratings_total",
    kind: MetricKind::Counter,
    unit: "ratings",
    labels: &["canary", "channel", "event", "rating"],
    help: "Occasions for an event of the application's own, by the channel that served the call and by good or bad",
};
pub(super) const PANICS: Metric = Metric {
    name: "canary_panics_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel"],
    help: "Calls in which the service panicked; they are among the failures",
};
pub(super) const IN_FLIGHT: Metric = Metric {
    name: "canary_requests_in_flight",
    kind: MetricKind::Gauge,
    unit: "calls",
    labels: &["canary", "channel"],
    help: "Calls whose response, stream or upgraded connection has not ended",
};
pub(super) const DURATION: Metric = Metric {
    name: "canary_request_duration_seconds",
    kind: MetricKind::Histogram,
    unit: "seconds",
    labels: &["canary", "channel"],
    help: "Time from the call to the end of its response, of calls that were not cancelled",
};
pub(super) const HEAD: Metric = Metric {
    name: "canary_response_head_seconds",
    kind: MetricKind::Histogram,
    unit: "seconds",
    labels: &["canary", "channel"],
    help: "Time from the call to the head of its response",
};
pub(super) const WEIGHT: Metric = Metric {
    name: "canary_weight_ratio",
    kind: MetricKind::Gauge,
    unit: "ratio",
    labels: &["canary"],
    help: "Share of calls that is asked of the canary",
};
pub(super) const SHARE: Metric = Metric {
    name: "canary_share_ratio",
    kind: MetricKind::Gauge,
    unit: "ratio",
    labels: &["canary"],
    help: "Share of calls that the canary was assigned since the last change of the weight or drain",
};
pub(super) const MODE: Metric = Metric {
    name: "canary_mode",
    kind: MetricKind::Gauge,
    unit: "state",
    labels: &["canary", "mode"],
    help: "1 for the current mode: splitting, promoted or halted",
};
pub(super) const DECISION_AGE: Metric = Metric {
    name: "canary_decision_age_seconds",
    kind: MetricKind::Gauge,
    unit: "seconds",
    labels: &["canary"],
    help: "Time since whoever decides has last looked at the canary; there is none before the first look",
};
pub(super) const RELEASE: Metric = Metric {
    name: "canary_release_info",
    kind: MetricKind::Gauge,
    unit: "state",
    labels: &["canary", "channel", "release"],
    help: "1 for the release that a channel runs",
};
