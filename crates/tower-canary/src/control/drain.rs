use std::fmt;

use canary_core::Channel;

use crate::{control::epoch::Epoch, counting::sync::Arc};

/// The open calls of a channel that were asked to end.
///
/// [`CanaryHandle::drain`](crate::CanaryHandle::drain) returns it. Dropping it does not withdraw
/// the request to end.
pub struct Drain {
    epochs: Vec<Arc<Epoch>>,
    channel: Channel,
}

impl Drain {
    pub(crate) const fn new(epochs: Vec<Arc<Epoch>>, channel: Channel) -> Self {
        Self { epochs, channel }
    }

    /// Returns the number of these calls that have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.epochs.iter().map(|epoch| epoch.in_flight(self.channel)).sum()
    }

    /// Waits until all of these calls have ended.
    ///
    /// This is cancel safe: the future can be dropped and created again at any time.
    pub async fn ended(&self) {
        for epoch in &self.epochs {
            loop {
                let ended = epoch.drain_state(self.channel).ended();
                if epoch.in_flight(self.channel) == 0 {
                    break;
                }
                ended.await;
            }
        }
    }

    /// Closes these calls. They count as cancelled.
    ///
    /// Response bodies fail; in gRPC they end with `UNAVAILABLE`.
    /// [Attached](crate::Assignment::attach) futures are dropped. A handler that has not responded
    /// yet keeps running, and its response is closed when it arrives.
    pub fn close(&self) {
        for epoch in &self.epochs {
            epoch.close(self.channel);
        }
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("channel", &self.channel)
            .field("open", &self.open())
            .finish_non_exhaustive()
    }
}
