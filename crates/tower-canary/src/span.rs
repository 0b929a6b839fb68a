//! Spans and events, if the feature `tracing` is on; nothing otherwise.

pub(crate) use self::imp::{CallSpan, changed};

#[cfg(feature = "tracing")]
mod imp {
    use tracing::Span;

    use crate::{call::Call, switch::Switch};

    /// The span of one call: what its handler and its body log carries the channel.
    pub(crate) struct CallSpan(Span);

    impl CallSpan {
        pub(crate) const fn none() -> Self {
            Self(Span::none())
        }

        pub(crate) fn new(call: &Call) -> Self {
            let config = call.config();
            Self(tracing::info_span!(
                target: "tower_canary::call",
                "call",
                canary = config.name.as_str(),
                channel = call.channel().as_str(),
                reason = call.reason().as_str(),
                release = config.release(call.channel()),
            ))
        }

        pub(crate) fn enter(&self) -> tracing::span::Entered<'_> {
            self.0.enter()
        }

        pub(crate) fn take(&mut self) -> Self {
            std::mem::replace(self, Self::none())
        }
    }

    pub(crate) fn changed(switch: &Switch, what: &'static str) {
        tracing::info!(
            target: "tower_canary::control",
            canary = switch.config().name.as_str(),
            weight = %switch.weight(),
            phase = ?switch.with(|history, _| history.phase.clone()),
            "{what}",
        );
    }
}

#[cfg(not(feature = "tracing"))]
mod imp {
    use crate::{call::Call, switch::Switch};

    pub(crate) struct CallSpan;

    /// As `tracing`'s guard, so that both can be dropped.
    pub(crate) struct Entered;

    impl Drop for Entered {
        fn drop(&mut self) {}
    }

    impl CallSpan {
        pub(crate) const fn none() -> Self {
            Self
        }

        pub(crate) const fn new(_: &Call) -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "as with the feature")]
        pub(crate) const fn enter(&self) -> Entered {
            Entered
        }

        #[expect(clippy::unused_self, reason = "as with the feature")]
        pub(crate) const fn take(&mut self) -> Self {
            Self
        }
    }

    pub(crate) const fn changed(_: &Switch, _: &'static str) {}
}
