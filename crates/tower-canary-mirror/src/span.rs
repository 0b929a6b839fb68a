//! The span of a mirrored call, if the feature `tracing` is on; nothing otherwise.

#[cfg(feature = "tracing-subscriber")]
pub(crate) use self::imp::COPY;
pub(super) use self::imp::Span;

#[cfg(feature = "tracing")]
mod imp {
    use canary_core::{Channel, PerChannel};

    use crate::mirror::state::Mirror;

    /// The targets of copies' spans, for filters as those of calls' are.
    pub(crate) const COPY: PerChannel<&str> = PerChannel {
        stable: "tower_canary::mirror::stable",
        canary: "tower_canary::mirror::canary",
    };

    /// What a handler logs of a mirrored call carries its channel, and that nobody waits for it.
    pub(in crate::mirror) struct Span(tracing::Span);

    impl Span {
        pub(in crate::mirror) fn new(mirror: &Mirror, channel: Channel) -> Self {
            // A target is a part of the code, so there are two spans.
            macro_rules! span_of {
                ($channel:ident) => {
                    tracing::info_span!(
                        target: COPY.$channel,
                        "mirrored call",
                        canary = mirror.name.as_str(),
                        channel = channel.as_str(),
                        mirrored = true,
                    )
                };
            }
            Self(match channel {
                Channel::Stable => span_of!(stable),
                Channel::Canary => span_of!(canary),
            })
        }

        pub(in crate::mirror) fn enter(&self) -> tracing::span::Entered<'_> {
            self.0.enter()
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod imp {
    use canary_core::Channel;

    use crate::mirror::state::Mirror;

    pub(in crate::mirror) struct Span;

    /// As `tracing`'s guard, so that both can be dropped.
    pub(in crate::mirror) struct Entered;

    impl Drop for Entered {
        fn drop(&mut self) {}
    }

    impl Span {
        pub(in crate::mirror) const fn new(_: &Mirror, _: Channel) -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "as with the feature")]
        pub(in crate::mirror) const fn enter(&self) -> Entered {
            Entered
        }
    }
}
