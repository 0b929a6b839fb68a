use arc_swap::ArcSwapOption;
use canary_core::{CanaryName, PerChannel, ReleaseId, Weight};

use crate::{bypass::Bypass, classify::Classify, panic::discard, tags::Tags};

/// What a canary was built with. It never changes, but for the hook.
pub(crate) struct Config {
    pub(crate) name: CanaryName,
    pub(crate) releases: PerChannel<Option<ReleaseId>>,
    pub(crate) tags: Tags,
    pub(crate) classify: Box<dyn Classify>,
    pub(crate) bypass: Bypass,
    pub(crate) failure_hook: ArcSwapOption<FailureHook>,
    #[cfg(feature = "axum")]
    pub(crate) rematch: Option<crate::axum::Rematch>,
}

pub(crate) type FailureHook = Box<dyn Fn(Weight) + Send + Sync>;

impl Config {
    /// Tells of a canary call that failed or spilled. Only such calls get here.
    pub(crate) fn canary_failed(&self, weight: Weight) {
        if let Some(hook) = self.failure_hook.load_full() {
            // Whoever watches the calls must not break them.
            discard(|| hook(weight));
        }
    }

    #[cfg(feature = "tracing")]
    pub(crate) fn release(&self, channel: canary_core::Channel) -> &str {
        self.releases[channel].as_ref().map_or("", ReleaseId::as_str)
    }
}
