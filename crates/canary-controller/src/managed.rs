use std::fmt;

use canary_core::{Channel, PerChannel, ReleaseId};
use canary_rollout::{Plan, Releases};
use tower_canary::CanaryHandle;

use crate::{gate::GateRunner, probe::ProbeRunner};

/// A canary for a [`Controller`](crate::Controller), with its plan and the runners of the plan's
/// probes and gates.
#[must_use]
pub struct Managed {
    pub(crate) canary: CanaryHandle,
    pub(crate) plan: Plan,
    pub(crate) releases: PerChannel<Option<ReleaseId>>,
    pub(crate) auto_start: bool,
    pub(crate) probes: ProbeRunner,
    /// `None` selects a runner without functions.
    pub(crate) gates: Option<GateRunner>,
}

impl Managed {
    /// Combines a canary and its plan.
    ///
    /// The layer must know the [releases](tower_canary::CanaryOptions::canary_release) of both
    /// channels, because they distinguish a restart from a new build.
    pub fn new(canary: CanaryHandle, plan: Plan) -> Self {
        let releases = PerChannel::from_fn(|channel| canary.release(channel).cloned());
        let (probes, gates) = (ProbeRunner::default(), None);
        Self { canary, plan, releases, auto_start: false, probes, gates }
    }

    /// Combines a canary with the [plan by hand](Plan::by_hand): operators set the weight, and promote
    /// or roll back, with the history, the store and the variables of any other rollout.
    ///
    /// The judge watches the default monitors and reports, but does not decide. For other monitors, or
    /// for a judge that rolls back, use [`new`](Self::new) with a plan that has `by_hand = true`.
    pub fn by_hand(canary: CanaryHandle) -> Self {
        Self::new(canary, Plan::by_hand())
    }

    /// Starts the plan as soon as these releases run for the first time.
    ///
    /// After a rollback or halt, the same releases do not start again without a command.
    pub const fn auto_start(mut self) -> Self {
        self.auto_start = true;
        self
    }

    /// Sets the runner of the plan's probes. It provides the canary to probe and the functions that
    /// the plan refers to.
    pub fn probes(mut self, probes: ProbeRunner) -> Self {
        self.probes = probes;
        self
    }

    /// Sets the runner of the plan's gates. It provides the functions that the plan refers to.
    /// Approvals and webhooks work without it.
    pub fn gates(mut self, gates: GateRunner) -> Self {
        self.gates = Some(gates);
        self
    }

    /// Returns the releases of both channels, or the channel whose release is unknown.
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
