use std::fmt;

use canary_core::{Channel, PerChannel};
use canary_rollout::{Plan, Releases};
use tower_canary::CanaryHandle;

use crate::{gate::GateRunner, probe::ProbeRunner};

/// A canary that a [`Controller`](crate::Controller) is to run, and what it needs to know for that.
#[must_use]
pub struct Managed {
    pub(crate) canary: CanaryHandle,
    pub(crate) plan: Plan,
    pub(crate) releases: PerChannel<Option<canary_core::ReleaseId>>,
    pub(crate) auto_start: bool,
    pub(crate) probes: ProbeRunner,
    /// None for one without functions.
    pub(crate) gates: Option<GateRunner>,
}

impl Managed {
    /// A canary and its plan.
    ///
    /// The [releases](tower_canary::CanaryOptions::canary_release) of both channels must be known to the
    /// layer: by them a restart of the same build is told from another build.
    pub fn new(canary: CanaryHandle, plan: Plan) -> Self {
        let releases = PerChannel::from_fn(|channel| canary.release(channel).cloned());
        let (probes, gates) = (ProbeRunner::default(), None);
        Self { canary, plan, releases, auto_start: false, probes, gates }
    }

    /// Starts the plan when these releases are there for the first time. After a rollback or a halt it
    /// does not: that is for a person, or another release.
    pub const fn auto_start(mut self) -> Self {
        self.auto_start = true;
        self
    }

    /// Runs the plan's probes by this runner, which knows the canary and the functions that the plan names.
    pub fn probes(mut self, probes: ProbeRunner) -> Self {
        self.probes = probes;
        self
    }

    /// Asks the plan's gates by this runner, which knows the functions that the plan names. Approvals and
    /// webhooks need none.
    pub fn gates(mut self, gates: GateRunner) -> Self {
        self.gates = Some(gates);
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
