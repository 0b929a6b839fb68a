/// A metric that is published.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "crates with metrics of their own construct it")]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// The unit, such as `calls` or `seconds`.
    pub unit: &'static str,
    /// The names of the labels. Their values come from code, never from clients.
    pub labels: &'static [&'static str],
    /// The description.
    pub help: &'static str,
}

/// The kind of a [`Metric`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A total that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution of samples.
    Histogram,
}

/// All metrics that a canary publishes.
pub const TABLE: &[Metric] = &[
    REQUESTS,
    CLIENT_MADE,
    CANCELLED_AFTER_TAG,
    ASSIGNED,
    SPILLED,
    SHED,
    FELL_BACK,
    PANICS,
    TIMED_OUT,
    UNANSWERED,
    RATINGS,
    EVENT_RATINGS,
    IN_FLIGHT,
    DURATION,
    HEAD,
    WEIGHT,
    SHARE,
    LARGEST_KEY,
    MODE,
    RELEASE,
    DECISION_AGE,
];

pub(super) const REQUESTS: Metric = Metric {
    name: "canary_requests_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel", "outcome"],
    help: "Ended calls, by channel and outcome: success, failure or cancelled",
};
pub(super) const CLIENT_MADE: Metric = Metric {
    name: "canary_client_made_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel"],
    help: "Successes that the request alone made, such as 404; not compared between the channels",
};
pub(super) const CANCELLED_AFTER_TAG: Metric = Metric {
    name: "canary_cancelled_after_tag_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel"],
    help: "Cancelled calls whose caller had been told its channel; not compared between the channels",
};
pub(super) const ASSIGNED: Metric = Metric {
    name: "canary_assigned_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel", "reason"],
    help: "Assigned calls, by channel and reason: random, sticky, rule, forced, propagated, spilled, fell_back or capped",
};
pub(super) const SPILLED: Metric = Metric {
    name: "canary_spilled_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary"],
    help: "Calls that were assigned to the canary and served by stable, because the canary was not ready or at a concurrency limit",
};
pub(super) const SHED: Metric = Metric {
    name: "canary_shed_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary"],
    help: "Spilled calls for which the canary was at a concurrency limit; not compared between the channels",
};
pub(super) const FELL_BACK: Metric = Metric {
    name: "canary_fallbacks_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary"],
    help: "Calls that failed on the canary and were repeated by stable; also counted as failures",
};
pub(super) const TIMED_OUT: Metric = Metric {
    name: "canary_timeouts_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel"],
    help: "Calls that exceeded the layer's time limit; also counted as failures",
};
pub(super) const UNANSWERED: Metric = Metric {
    name: "canary_unanswered_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel", "age"],
    help: "Calls that reached an age without the head of a response: 5s, 30s or 120s",
};
pub(super) const RATINGS: Metric = Metric {
    name: "canary_ratings_total",
    kind: MetricKind::Counter,
    unit: "ratings",
    labels: &["canary", "channel", "rating"],
    help: "Ratings by users, by the channel that served the call and by good or bad",
};
pub(super) const EVENT_RATINGS: Metric = Metric {
    name: "canary_event_ratings_total",
    kind: MetricKind::Counter,
    unit: "ratings",
    labels: &["canary", "channel", "event", "rating"],
    help: "Ratings by events of the application, by the channel that served the call and by good or bad",
};
pub(super) const PANICS: Metric = Metric {
    name: "canary_panics_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "channel"],
    help: "Calls in which the service panicked; also counted as failures",
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
    help: "Time from the start of a call to the end of its response, without waits for the request body, and without cancelled calls",
};
pub(super) const HEAD: Metric = Metric {
    name: "canary_response_head_seconds",
    kind: MetricKind::Histogram,
    unit: "seconds",
    labels: &["canary", "channel"],
    help: "Time from the start of a call to its response head, without waits for the request body",
};
pub(super) const WEIGHT: Metric = Metric {
    name: "canary_weight_ratio",
    kind: MetricKind::Gauge,
    unit: "ratio",
    labels: &["canary"],
    help: "The weight: the share of calls requested for the canary",
};
pub(super) const SHARE: Metric = Metric {
    name: "canary_share_ratio",
    kind: MetricKind::Gauge,
    unit: "ratio",
    labels: &["canary"],
    help: "The share of calls assigned to the canary since the last change of the weight or drain",
};
pub(super) const LARGEST_KEY: Metric = Metric {
    name: "canary_largest_key_ratio",
    kind: MetricKind::Gauge,
    unit: "ratio",
    labels: &["canary"],
    help: "The part of the calls with a key that one key made since the last change of the weight",
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
    help: "Time since the controller's last decision; absent before the first decision",
};
pub(super) const RELEASE: Metric = Metric {
    name: "canary_release_info",
    kind: MetricKind::Gauge,
    unit: "state",
    labels: &["canary", "channel", "release"],
    help: "1 for the release that a channel runs",
};
