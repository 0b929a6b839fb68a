//! The time limit of a call with the feature `tokio`, and a no-op without it.

pub(crate) use self::imp::Timer;

#[cfg(feature = "tokio")]
mod imp {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use canary_core::Channel;
    use tokio::time::{Sleep, sleep};

    use crate::config::canary_config::CanaryConfig;

    /// A timer that starts when a channel gets the call.
    ///
    /// It is boxed, so that calls without a time limit stay small.
    pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

    impl Timer {
        pub(crate) const fn none() -> Self {
            Self(None)
        }

        pub(crate) fn start(config: &CanaryConfig, channel: Channel) -> Self {
            let limit = config.time_limits[channel];
            Self(limit.map(|limit| Box::pin(sleep(limit))))
        }

        pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            self.0.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(cx))
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod imp {
    use std::task::{Context, Poll};

    use canary_core::Channel;

    use crate::config::canary_config::CanaryConfig;

    pub(crate) struct Timer;

    impl Timer {
        pub(crate) const fn none() -> Self {
            Self
        }

        pub(crate) const fn start(_: &CanaryConfig, _: Channel) -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "same signature as with the feature")]
        pub(crate) const fn poll_elapsed(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
}
