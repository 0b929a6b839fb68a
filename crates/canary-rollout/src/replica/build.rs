use canary_core::StickySecret;

use crate::{plan::definition::Plan, rollout::Releases};

/// The build of a replica.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the driver constructs it")]
pub struct Build {
    /// The releases of both channels.
    pub releases: Releases,
    /// The plan for the canary of this build.
    pub plan: Plan,
    /// Whether the plan starts as soon as these releases run for the first time.
    pub auto_start: bool,
    /// A random secret for the hash that assigns keys to channels, in case that the stored rollout has
    /// none.
    pub sticky_secret: StickySecret,
}
