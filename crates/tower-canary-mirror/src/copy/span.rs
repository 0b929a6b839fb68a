use canary_core::Channel;
use tower_canary::internal::MIRRORED;
use tracing::Span;

use crate::mirror::Mirror;

/// Creates the span of a mirrored request.
pub(crate) fn new(mirror: &Mirror, channel: Channel) -> Span {
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
    match channel {
        Channel::Stable => span_of!(stable),
        Channel::Canary => span_of!(canary),
    }
}
