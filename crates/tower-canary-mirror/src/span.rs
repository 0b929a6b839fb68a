//! The span of a mirrored call, if the feature `tracing` is on; nothing otherwise.

pub(crate) use self::imp::Span;

#[cfg(feature = "tracing")]
mod imp {
    use canary_core::Channel;
    use tower_canary::internal::MIRRORED;

    use crate::state::Mirror;

    /// What a handler logs of a mirrored call carries its channel, and that nobody waits for it.
    pub(crate) struct Span(tracing::Span);

    impl Span {
        pub(crate) fn new(mirror: &Mirror, channel: Channel) -> Self {
            // A target is a part of the code, so there are two spans.
            macro_rules! span_of {
                ($channel:ident) => {
                    tracing::info_span!(
                        target: MIRRORED.$channel,
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

        pub(crate) fn enter(&self) -> tracing::span::Entered<'_> {
            self.0.enter()
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod imp {
    use canary_core::Channel;

    use crate::state::Mirror;

    pub(crate) struct Span;

    /// As `tracing`'s guard, so that both can be dropped.
    pub(crate) struct Entered;

    impl Drop for Entered {
        fn drop(&mut self) {}
    }

    impl Span {
        pub(crate) const fn new(_: &Mirror, _: Channel) -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "as with the feature")]
        pub(crate) const fn enter(&self) -> Entered {
            Entered
        }
    }
}
