use canary_core::Channel;
use http::{HeaderName, HeaderValue, request::Parts};

use tower_canary::Assignment;

/// Marks a request as a copy, whose answer nobody gets.
///
/// It is in the extensions of each copied request, so that a handler can leave out what must not happen
/// twice: `request.extensions().get::<Mirrored>()`, or `Option<Extension<Mirrored>>` in axum. Nobody can
/// forge it. The header [`Mirrored::HEADER`], which is for services that are called next, anyone can send.
///
/// The copy for the canary has the [`Assignment`] of the original, if there is one, but for the channel: it
/// says the canary's, and has the canary's [variables](Assignment::variables). What a handler says of a copy by
/// [`Assignment::rate`] does not count.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Mirrored {
    channel: Channel,
}

impl Mirrored {
    /// The header of a copied request, `x-canary-mirror: 1`. Requests that come with it are not copied, so
    /// that mirrors behind one another do not multiply calls.
    pub const HEADER: HeaderName = HeaderName::from_static("x-canary-mirror");

    /// The channel that the copy was sent to: the canary, or stable for a second time, to learn what
    /// differs between two answers of stable.
    #[must_use]
    pub const fn channel(self) -> Channel {
        self.channel
    }

    pub(super) fn mark(channel: Channel, head: &mut Parts) {
        head.headers.insert(Self::HEADER, HeaderValue::from_static("1"));
        if let Some(original) = head.extensions.get::<Assignment>() {
            let copy = original.for_copy(channel);
            head.extensions.insert(copy);
        }
        head.extensions.insert(Self { channel });
    }
}
