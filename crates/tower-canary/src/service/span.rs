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
    ///
    /// `None` while no subscriber is interested in it. It is boxed, because each move of the future
    /// and of the body copies it.
    pub(crate) struct CallSpan(Option<Box<Span>>);

    impl CallSpan {
        pub(crate) const fn none() -> Self {
            Self(None)
        }

        pub(crate) fn new(
            config: &CanaryConfig,
            channel: Channel,
            reason: AssignmentReason,
        ) -> Self {
            // Targets must be constant.
            macro_rules! span_of {
                ($channel:ident) => {
                    tracing::info_span!(
                        target: CALL.$channel,
                        "call",
                        canary = config.name.as_str(),
                        channel = channel.as_str(),
                        reason = reason.as_str(),
                        release = Some(config.release(channel)).filter(|release| !release.is_empty()),
                    )
                };
            }
            let span = match channel {
                Channel::Stable => span_of!(stable),
                Channel::Canary => span_of!(canary),
            };
            Self((!span.is_disabled()).then(|| Box::new(span)))
        }

        pub(crate) fn enter(&self) -> Option<tracing::span::Entered<'_>> {
            self.0.as_deref().map(Span::enter)
        }

        pub(crate) const fn take(&mut self) -> Self {
            Self(self.0.take())
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
