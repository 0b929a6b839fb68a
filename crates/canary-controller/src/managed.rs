use std::fmt;

use canary_core::{Channel, PerChannel};
use canary_rollout::{Plan, Releases};
use tower_canary::CanaryHandle;

use crate::effects::Effects;

/// A canary that a [`Controller`](crate::Controller) is to run, and what it needs to know for that.
#[must_use]
pub struct Managed {
    pub(crate) canary: CanaryHandle,
    pub(crate) plan: Plan,
    pub(crate) releases: PerChannel<Option<canary_core::ReleaseId>>,
    pub(crate) starts_by_itself: bool,
    pub(crate) effects: Effects,
}

impl Managed {
    /// A canary and its plan.
    ///
    /// The [releases](tower_canary::CanaryOptions::canary_release) of both channels must be known to the
    /// layer: by them a restart of the same build is told from another build.
    pub fn new(canary: CanaryHandle, plan: Plan) -> Self {
        let releases = PerChannel::from_fn(|channel| canary.release(channel).cloned());
        Self { canary, plan, releases, starts_by_itself: false, effects: Effects::default() }
    }

    /// Starts the plan when these releases are there for the first time. After a rollback or a halt it
    /// does not: that is for a person, or another release.
    pub const fn starts_by_itself(mut self) -> Self {
        self.starts_by_itself = true;
        self
    }

    pub(crate) fn releases(&self) -> Result<Releases, Channel> {
        let of = |channel: Channel| self.releases[channel].clone().ok_or(channel);
        Ok(Releases { stable: of(Channel::Stable)?, canary: of(Channel::Canary)? })
    }
}

impl fmt::Debug for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Managed").field("canary", &self.canary).finish_non_exhaustive()
    }
}
