use arc_swap::ArcSwapOption;
use canary_core::{CanaryName, PerChannel, ReleaseId, Weight};
use http::HeaderMap;

use crate::{
    config::{
        bypass::Bypass, classify::Classifier, concurrency_limit::ConcurrencyLimit, tags::Tags,
    },
    counting::route_classes::RouteClasses,
    feedback::store::RatingStore,
    select::Select,
    service::{fallback::Fallback, panic::discard},
    variables::{sets::VariableSets, typed::ParseVariables},
};

/// What a canary was built with. It never changes, but for the hook and the ratings.
pub(crate) struct CanaryConfig {
    pub(crate) name: CanaryName,
    pub(crate) releases: PerChannel<Option<ReleaseId>>,
    pub(crate) tags: Tags,
    pub(crate) classify: Classifier,
    pub(crate) bypass: Bypass,
    /// None, if every call is drawn.
    pub(crate) select: Option<Box<dyn Select>>,
    pub(crate) variables: VariableSets,
    pub(crate) route_classes: RouteClasses,
    /// None, if the service did not name a type of its own.
    pub(crate) parse_variables: Option<ParseVariables>,
    pub(crate) feedback: RatingStore,
    #[cfg(feature = "tokio")]
    pub(crate) time_limits: PerChannel<Option<std::time::Duration>>,
    /// None, if the canary's concurrent calls are not limited.
    pub(crate) concurrency_limit: Option<ConcurrencyLimit>,
    pub(crate) fallback: Option<Fallback>,
    pub(crate) failure_hook: ArcSwapOption<FailureHook>,
    #[cfg(feature = "axum")]
    pub(crate) rematch: Option<crate::axum::Rematch>,
}

pub(crate) type FailureHook = Box<dyn Fn(Weight) + Send + Sync>;

impl CanaryConfig {
    /// Tells of a canary call that failed or spilled. Only such calls get here.
    pub(crate) fn canary_failed(&self, weight: Weight) {
        if let Some(hook) = self.failure_hook.load_full() {
            // Whoever watches the calls must not break them.
            discard(|| hook(weight));
        }
    }

    /// Removes what only the policy was meant to see.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        if let Some(policy) = &self.select {
            policy.strip(headers, &self.name);
        }
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn release(&self, channel: canary_core::Channel) -> &str {
        self.releases[channel].as_ref().map_or("", ReleaseId::as_str)
    }
}
