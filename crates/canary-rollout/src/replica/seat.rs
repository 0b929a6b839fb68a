use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The longest time between two saves of the evidence by the driver of a rollout.
pub const BEAT: Duration = Duration::from_secs(2);

/// The name of a replica. Each start of a process has a new one.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ReplicaId(String);

impl ReplicaId {
    /// Creates an id from a random number.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        Self(format!("{random:016x}"))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a delay below one [`BEAT`], which differs between replicas, so that they do not replace
    /// a driver at the same time, or publish at the same time.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        let sum = self
            .0
            .bytes()
            .fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        Duration::from_millis(sum % 2_000)
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a replica knows about the driver of the rollout.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    me: ReplicaId,
    holder: Option<ReplicaId>,
    /// The time of the last beat, or of the last change of another driver's evidence.
    changed: Duration,
}

impl Seat {
    pub(super) const fn new(me: ReplicaId) -> Self {
        Self { me, holder: None, changed: Duration::ZERO }
    }

    pub(super) fn is_mine(&self) -> bool {
        self.holder.as_ref() == Some(&self.me)
    }

    pub(super) fn holder(&self) -> Option<&ReplicaId> {
        self.holder.as_ref().filter(|holder| **holder != UNNAMED)
    }

    /// The evidence has changed, and names this driver.
    pub(super) fn seen(&mut self, holder: Option<ReplicaId>, uptime: Duration) {
        (self.holder, self.changed) = (holder, uptime);
    }

    /// This replica has saved the evidence, or is about to.
    pub(super) fn take(&mut self, uptime: Duration) {
        (self.holder, self.changed) = (Some(self.me.clone()), uptime);
    }

    /// Another replica has started the rollout. It has time to save its evidence with its name.
    pub(super) fn leave_to_starter(&mut self, uptime: Duration) {
        (self.holder, self.changed) = (Some(UNNAMED), uptime);
    }

    pub(super) fn is_beat_due(&self, uptime: Duration) -> bool {
        uptime.saturating_sub(self.changed) >= BEAT
    }

    /// Returns whether this replica may become the driver: there is none, or it is silent.
    pub(super) fn is_free(&self, uptime: Duration) -> bool {
        self.holder.is_none() || self.is_silent(uptime)
    }

    /// Returns whether all drivers have been silent for so long that no replica can follow the last one.
    pub(super) fn is_silent(&self, uptime: Duration) -> bool {
        uptime.saturating_sub(self.changed) >= 3 * BEAT + self.me.jitter()
    }
}

/// The driver whose name is not known yet.
const UNNAMED: ReplicaId = ReplicaId(String::new());
