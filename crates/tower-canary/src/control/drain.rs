use std::fmt;

use canary_core::Channel;

use crate::{control::epoch::Epoch, counting::sync::Arc};

/// The open calls of a channel that were asked to end, made by
/// [`CanaryHandle::drain`](crate::CanaryHandle::drain).
///
/// Dropping it changes nothing: the calls stay asked.
pub struct Drain {
    epochs: Vec<Arc<Epoch>>,
    channel: Channel,
}

impl Drain {
    pub(crate) const fn new(epochs: Vec<Arc<Epoch>>, channel: Channel) -> Self {
        Self { epochs, channel }
    }

    /// How many of the calls have not ended.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.epochs.iter().map(|epoch| epoch.in_flight(self.channel)).sum()
    }

    /// Waits until all of the calls have ended.
    ///
    /// The future can be dropped and made again at any time.
    pub async fn ended(&self) {
        for epoch in &self.epochs {
            loop {
                let ended = epoch.stage(self.channel).ended();
                if epoch.in_flight(self.channel) == 0 {
                    break;
                }
                ended.await;
            }
        }
    }

    /// Closes the calls whose response is under way: response bodies fail (in gRPC they end with
    /// `UNAVAILABLE`), and what is [attached](crate::Assignment::attach) is dropped.
    ///
    /// They count as cancelled. A handler that has not answered yet is left to its work; its answer,
    /// when it comes, is closed in the same way.
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
