use arc_swap::ArcSwapOption;
use canary_core::{CanaryName, PerChannel, ReleaseId, Weight};
use http::Request;

use crate::{
    config::{
        bypass::Bypass,
        classify::Classifier,
        concurrency_limit::{ConcurrencyLimit, KeyConcurrencyLimit},
        tags::Tags,
    },
    counting::{key_shares::KeyCap, route_classes::RouteClasses},
    feedback::store::RatingStore,
    select::{self, Select, StickyHash, sticky::KeyFunction},
    service::{
        fallback::Fallback, panic::discard, protocol::Protocol, served_methods::ServedMethods,
    },
    variables::{sets::VariableSets, typed::ParseVariables},
};

/// The configuration of a canary. It is immutable, except for the failure hook, the ratings and the
/// methods that stable serves.
pub(crate) struct CanaryConfig {
    pub(crate) name: CanaryName,
    pub(crate) releases: PerChannel<Option<ReleaseId>>,
    pub(crate) tags: Tags,
    /// Whether shared caches may store responses of the canary below full weight.
    pub(crate) cacheable_canary: bool,
    pub(crate) classify: Classifier,
    /// `None` if each call shows its protocol.
    pub(crate) protocol: Option<Protocol>,
    pub(crate) served_methods: ServedMethods,
    pub(crate) bypass: Bypass,
    /// `None` if every call is assigned at random.
    pub(crate) select: Option<Box<dyn Select>>,
    pub(crate) sticky_hash: StickyHash,
    /// The caller of a call that is not sticky. `None` if callers are not known.
    pub(crate) caller_key: Option<Box<KeyFunction>>,
    pub(crate) key_cap: KeyCap,
    pub(crate) variables: VariableSets,
    pub(crate) route_classes: RouteClasses,
    /// `None` if variables have no type.
    pub(crate) parse_variables: Option<ParseVariables>,
    pub(crate) feedback: RatingStore,
    #[cfg(feature = "tokio")]
    pub(crate) time_limits: PerChannel<Option<std::time::Duration>>,
    pub(crate) concurrency_limit: Option<ConcurrencyLimit>,
    pub(crate) concurrency_limit_per_key: Option<KeyConcurrencyLimit>,
    pub(crate) fallback: Option<Fallback>,
    pub(crate) failure_hook: ArcSwapOption<FailureHook>,
    #[cfg(feature = "axum")]
    pub(crate) rematch: Option<crate::axum::Rematch>,
}

pub(crate) type FailureHook = Box<dyn Fn(Weight) + Send + Sync>;

impl CanaryConfig {
    /// Runs the failure hook, after a canary call that is evidence failed or spilled.
    pub(crate) fn canary_failed(&self, weight: Weight) {
        if let Some(hook) = self.failure_hook.load_full() {
            // A panic of the hook must not reach the caller.
            discard(|| hook(weight));
        }
    }

    /// Removes the headers that only the layer may see.
    pub(crate) fn strip<B>(&self, request: &mut Request<B>, may_have_baggage: bool) {
        if may_have_baggage {
            select::strip_baggage(request, self.select.as_deref(), &self.name);
        }
        if let Some(policy) = &self.select {
            policy.strip(request.headers_mut(), &self.name);
        }
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn release(&self, channel: canary_core::Channel) -> &str {
        self.releases[channel].as_ref().map_or("", ReleaseId::as_str)
    }
}
