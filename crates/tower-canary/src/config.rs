use canary_core::{CanaryName, PerChannel, ReleaseId};

use crate::{bypass::Bypass, classify::Classify, tags::Tags};

/// What a canary was built with; it never changes.
pub(crate) struct Config {
    pub(crate) name: CanaryName,
    pub(crate) releases: PerChannel<Option<ReleaseId>>,
    pub(crate) tags: Tags,
    pub(crate) classify: Box<dyn Classify>,
    pub(crate) bypass: Bypass,
    #[cfg(feature = "axum")]
    pub(crate) rematch: Option<crate::axum::Rematch>,
}

impl Config {
    #[cfg(feature = "tracing")]
    pub(crate) fn release(&self, channel: canary_core::Channel) -> &str {
        self.releases[channel].as_ref().map_or("", ReleaseId::as_str)
    }
}
