use canary_core::{AssignmentReason, Channel};

use crate::counting::route_index::RouteIndex;

/// Selects the counters of a call.
#[derive(Clone, Copy)]
pub(crate) struct CounterKey {
    pub(crate) scope: Scope,
    pub(crate) channel: Channel,
    pub(crate) route: Option<RouteIndex>,
    /// Whether the weight assigned the call, so that the events of its key are recorded.
    pub(crate) is_by_weight: bool,
}

/// Whether a call may be compared with calls of the other channel; see
/// [`Counts`](canary_core::Counts).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    Evidence,
    Excluded,
}

impl CounterKey {
    pub(crate) const fn new(
        channel: Channel,
        reason: AssignmentReason,
        route: Option<RouteIndex>,
    ) -> Self {
        Self { scope: Scope::of(reason), channel, route, is_by_weight: reason.is_by_weight() }
    }
}

impl Scope {
    pub(crate) const fn of(reason: AssignmentReason) -> Self {
        if reason.is_evidence() { Self::Evidence } else { Self::Excluded }
    }
}
