//! Spans and events with the feature `tracing`, and no-ops without it.

#[cfg(feature = "tracing-subscriber")]
pub(crate) use self::imp::CALL;
#[cfg(feature = "tracing")]
pub use self::imp::MIRRORED;
pub(crate) use self::imp::{CallSpan, changed};

#[cfg(feature = "tracing")]
mod imp {
    use canary_core::{AssignmentReason, Channel, PerChannel};
    use tracing::Span;

    use crate::{config::canary_config::CanaryConfig, control::state::ControlState};

    /// The targets of the spans of calls.
    ///
    /// Filters see the target of a span before its fields, so each channel has its own.
    pub(crate) const CALL: PerChannel<&str> =
        PerChannel { stable: "tower_canary::call::stable", canary: "tower_canary::call::canary" };

    /// The targets of the spans of `tower-canary-mirror`. `ChannelFilter` needs them here.
    pub const MIRRORED: PerChannel<&str> = PerChannel {
        stable: "tower_canary::mirror::stable",
        canary: "tower_canary::mirror::canary",
    };

    /// The span of one call. It covers the handler and the response body.
    pub(crate) struct CallSpan(Span);

    impl CallSpan {
        pub(crate) const fn none() -> Self {
            Self(Span::none())
        }

        pub(crate) fn new(
            config: &CanaryConfig,
            channel: Channel,
            reason: AssignmentReason,
        ) -> Self {
            let release = Some(config.release(channel));
            let release = release.filter(|release| !release.is_empty());
            // Targets must be constant.
            macro_rules! span_of {
                ($channel:ident) => {
                    tracing::info_span!(
                        target: CALL.$channel,
                        "call",
                        canary = config.name.as_str(),
                        channel = channel.as_str(),
                        reason = reason.as_str(),
                        release,
                    )
                };
            }
            Self(match channel {
                Channel::Stable => span_of!(stable),
                Channel::Canary => span_of!(canary),
            })
        }

        pub(crate) fn enter(&self) -> tracing::span::Entered<'_> {
            self.0.enter()
        }

        pub(crate) fn take(&mut self) -> Self {
            std::mem::replace(self, Self::none())
        }
    }

    pub(crate) fn changed(control: &ControlState, description: &'static str) {
        tracing::info!(
            target: "tower_canary::control",
            canary = control.config().name.as_str(),
            weight = %control.weight(),
            mode = ?control.with(|history, _| history.mode.clone()),
            "{description}",
        );
    }
}

#[cfg(not(feature = "tracing"))]
mod imp {
    use canary_core::{AssignmentReason, Channel};

    use crate::{config::canary_config::CanaryConfig, control::state::ControlState};

    pub(crate) struct CallSpan;

    /// Replaces the guard of `tracing`, which callers drop explicitly.
    pub(crate) struct Entered;

    impl Drop for Entered {
        fn drop(&mut self) {}
    }

    impl CallSpan {
        pub(crate) const fn none() -> Self {
            Self
        }

        pub(crate) const fn new(_: &CanaryConfig, _: Channel, _: AssignmentReason) -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "same signature as with the feature")]
        pub(crate) const fn enter(&self) -> Entered {
            Entered
        }

        #[expect(clippy::unused_self, reason = "same signature as with the feature")]
        pub(crate) const fn take(&mut self) -> Self {
            Self
        }
    }

    pub(crate) const fn changed(_: &ControlState, _: &'static str) {}
}
