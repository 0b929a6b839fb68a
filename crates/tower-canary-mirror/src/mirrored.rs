use canary_core::Channel;
use http::{HeaderName, HeaderValue, request::Parts};
use tower_canary::Assignment;

/// Marks a request as mirrored.
///
/// Each mirrored request has this value in its extensions. A handler can use it to skip side
/// effects: `request.extensions().get::<Mirrored>()`, or `Option<Extension<Mirrored>>` in axum.
/// Clients cannot forge it.
///
/// Each mirrored request also has the header [`Mirrored::HEADER`], for services further down the
/// call chain. Any client can send that header.
///
/// If the original request has an [`Assignment`], the mirrored request has a copy of it, with the
/// channel and the [variables](Assignment::variables) of the channel that receives the mirrored
/// request. Ratings given through the copy do not count.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Mirrored {
    channel: Channel,
}

impl Mirrored {
    /// The header of mirrored requests, `x-canary-mirror: 1`.
    ///
    /// A mirror does not mirror requests with this header, so that consecutive mirrors do not
    /// multiply requests.
    pub const HEADER: HeaderName = HeaderName::from_static("x-canary-mirror");

    /// Returns the channel that receives the mirrored request: the canary, or stable if the request
    /// measures noise.
    #[must_use]
    pub const fn channel(self) -> Channel {
        self.channel
    }

    /// Marks the request with this head.
    pub(crate) fn mark(channel: Channel, head: &mut Parts) {
        head.headers.insert(Self::HEADER, HeaderValue::from_static("1"));
        if let Some(original) = head.extensions.get::<Assignment>() {
            let copy = original.for_copy(channel);
            head.extensions.insert(copy);
        }
        head.extensions.insert(Self { channel });
    }
}
