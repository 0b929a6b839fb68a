use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::replica::{BEAT, ReplicaId};

/// How many replicas of a rollout are heard. It prints as "7 of 9 replicas heard".
///
/// ```
/// use canary_rollout::{fleet::Fleet, replica::ReplicaId};
///
/// let lost = (1..=5).map(ReplicaId::from_random);
/// let fleet = Fleet::new(4, lost);
/// assert_eq!(fleet.to_string(), "4 of 9 replicas heard");
/// assert_eq!(fleet.quorum(), 5);
/// assert!(!fleet.has_quorum());
/// assert_eq!(fleet.beat().as_secs(), 2);
/// ```
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Fleet {
    /// The replicas that are heard.
    pub heard: usize,
    /// All replicas that count: those that are heard, and the silent ones. A replica that has stopped
    /// in order, or has been silent for a [quarter of an hour](super::Roster::FORGOTTEN), does not
    /// count.
    pub of: usize,
    /// The ids of the silent replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<ReplicaId>,
}

impl Fleet {
    /// Creates a fleet of `heard` replicas that are heard, and of these silent ones.
    #[must_use]
    pub fn new(heard: usize, silent: impl IntoIterator<Item = ReplicaId>) -> Self {
        let silent: Vec<_> = silent.into_iter().collect();
        Self { heard, of: heard.saturating_add(silent.len()), silent }
    }

    /// Returns the average time between two publications of a replica: 2 s, and longer in a large
    /// fleet, so that the store has at most 25 of them per second.
    #[must_use]
    pub fn beat(&self) -> Duration {
        beat_for(self.of)
    }

    /// Returns the numbers alone.
    pub(crate) const fn without_names(&self) -> Self {
        Self { heard: self.heard, of: self.of, silent: Vec::new() }
    }

    /// Returns the number of replicas that must be heard for a plan to proceed: half of them. The
    /// evidence of fewer may not be that of the fleet.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        self.of.div_ceil(2)
    }

    /// Returns whether at least the [quorum](Self::quorum) is heard.
    #[must_use]
    pub const fn has_quorum(&self) -> bool {
        self.heard >= self.quorum()
    }
}

impl fmt::Display for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.of == 1 { "" } else { "s" };
        write!(f, "{} of {} replica{plural} heard", self.heard, self.of)
    }
}

pub(super) fn beat_for(replicas: usize) -> Duration {
    let replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
    BEAT.max(Duration::from_secs(1) * replicas / PUBLICATIONS_PER_SECOND)
}

/// A list of 100 entries takes an engine a few milliseconds, and a write of one less than one.
const PUBLICATIONS_PER_SECOND: u32 = 25;
