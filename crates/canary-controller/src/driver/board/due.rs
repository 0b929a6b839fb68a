use std::time::Duration;

use canary_rollout::replica::BEAT;
use tokio::time::Instant;

/// The time at which the next publication is due.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    At(Instant),
    /// A random number of beats after the latest publication, from a half to one and a half. The
    /// publications of a fleet are evenly distributed after one of these intervals, however they were
    /// before, because it is a whole beat wide. The number of replicas may become known in between.
    After {
        publication: Instant,
        beats: f64,
    },
}

impl Due {
    /// About a beat after a publication at this time.
    pub(super) fn after(publication: Instant) -> Self {
        Self::After { publication, beats: 0.5 + rand::random::<f64>() }
    }

    /// Returns whether the time has come, if this is the beat of the fleet.
    pub(super) fn is_past(self, beat: Duration) -> bool {
        match self {
            Self::At(at) => Instant::now() >= at,
            Self::After { publication, beats } => {
                // In a small fleet, the first publications are evenly distributed in the beat.
                let delay = if beat > BEAT { beat.mul_f64(beats) } else { beat };
                publication.elapsed() >= delay
            }
        }
    }
}
