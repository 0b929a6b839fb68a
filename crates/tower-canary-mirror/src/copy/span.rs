//! The span of a mirrored request, with the feature `tracing`.

pub(crate) use self::imp::Span;

#[cfg(feature = "tracing")]
mod imp {
    use canary_core::Channel;
    use tower_canary::internal::MIRRORED;

    use crate::mirror::Mirror;

    pub(crate) struct Span(tracing::Span);

    impl Span {
        pub(crate) fn new(mirror: &Mirror, channel: Channel) -> Self {
            // The target of a span must be constant.
            macro_rules! span_of {
                ($channel:ident) => {
                    tracing::info_span!(
                        target: MIRRORED.$channel,
                        "mirrored request",
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

        pub(crate) fn in_scope<T>(&self, run: impl FnOnce() -> T) -> T {
            self.0.in_scope(run)
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod imp {
    use canary_core::Channel;

    use crate::mirror::Mirror;

    pub(crate) struct Span;

    impl Span {
        pub(crate) const fn new(_: &Mirror, _: Channel) -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "it is used with the feature `tracing`")]
        pub(crate) fn in_scope<T>(&self, run: impl FnOnce() -> T) -> T {
            run()
        }
    }
}
