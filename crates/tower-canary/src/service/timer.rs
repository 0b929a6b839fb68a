//! The time limit of a call with the feature `tokio`, and a no-op without it.

pub(crate) use self::imp::Timer;

#[cfg(feature = "tokio")]
mod imp {
    use std::{
        pin::Pin,
        task::{Context, Poll, ready},
        time::Duration,
    };

    use canary_core::Channel;
    use tokio::time::{Instant, Sleep, sleep};

    use crate::{config::canary_config::CanaryConfig, service::upload::Upload};

    /// A timer that starts when a channel gets the call, and stands still while the service waits
    /// for the body of the request.
    ///
    /// It is boxed, so that calls without a time limit stay small.
    pub(crate) struct Timer(Option<Pin<Box<Running>>>);

    pin_project_lite::pin_project! {
        struct Running {
            // When the limit is reached without waits for the request body.
            deadline: Instant,
            // The time that another channel waited.
            waited_before: Duration,
            #[pin]
            sleep: Sleep,
        }
    }

    impl Timer {
        pub(crate) const fn none() -> Self {
            Self(None)
        }

        pub(crate) fn start(
            config: &CanaryConfig,
            channel: Channel,
            upload: Option<&Upload>,
        ) -> Self {
            Self(config.time_limits[channel].map(|limit| {
                let sleep = sleep(limit);
                let waited_before = upload.map_or(Duration::ZERO, Upload::waited);
                Box::pin(Running { deadline: sleep.deadline(), waited_before, sleep })
            }))
        }

        pub(crate) fn poll_elapsed(
            &mut self,
            upload: Option<&Upload>,
            cx: &mut Context<'_>,
        ) -> Poll<()> {
            let Some(running) = &mut self.0 else { return Poll::Pending };
            let mut running = running.as_mut().project();
            loop {
                ready!(running.sleep.as_mut().poll(cx));
                let Some(upload) = upload else { return Poll::Ready(()) };
                let Some(waited) = upload.ended_waits(cx.waker()) else { return Poll::Pending };
                let deadline = *running.deadline + waited.saturating_sub(*running.waited_before);
                if deadline <= Instant::now() {
                    return Poll::Ready(());
                }
                running.sleep.as_mut().reset(deadline);
            }
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod imp {
    use std::task::{Context, Poll};

    use canary_core::Channel;

    use crate::{config::canary_config::CanaryConfig, service::upload::Upload};

    pub(crate) struct Timer;

    impl Timer {
        pub(crate) const fn none() -> Self {
            Self
        }

        pub(crate) const fn start(_: &CanaryConfig, _: Channel, _: Option<&Upload>) -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "same signature as with the feature")]
        pub(crate) const fn poll_elapsed(
            &self,
            _: Option<&Upload>,
            _: &mut Context<'_>,
        ) -> Poll<()> {
            Poll::Pending
        }
    }
}
