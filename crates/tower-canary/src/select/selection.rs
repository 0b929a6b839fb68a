use canary_core::Channel;
use http::HeaderValue;

use crate::select::StickyKey;

/// How a policy wants a call to be assigned.
///
/// What it comes to at which weight is in the [module's documentation](crate::select).
#[derive(Clone, Debug)]
#[must_use]
pub struct Selection {
    pub(crate) way: AssignmentRule,
    pub(crate) cookie: Option<Box<HeaderValue>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum AssignmentRule {
    AtWeight,
    Sticky(StickyKey),
    Always(Channel),
    Forced(Channel),
    Propagated(Channel),
}

impl Selection {
    /// By a draw, anew for each call.
    pub const fn at_weight() -> Self {
        Self::new(AssignmentRule::AtWeight)
    }

    /// By a key: calls with the same key go to the same channel, while the weight is the same.
    pub const fn sticky(key: StickyKey) -> Self {
        Self::new(AssignmentRule::Sticky(key))
    }

    /// To this channel, whatever the weight; but at weight zero everything is stable's.
    pub const fn always(channel: Channel) -> Self {
        Self::new(AssignmentRule::Always(channel))
    }

    /// To this channel, at weight zero too, for a caller who may ask for it.
    pub const fn forced(channel: Channel) -> Self {
        Self::new(AssignmentRule::Forced(channel))
    }

    /// To the channel for which an earlier service of the call chain decided; but at weight zero
    /// everything is stable's.
    pub const fn propagated(channel: Channel) -> Self {
        Self::new(AssignmentRule::Propagated(channel))
    }

    const fn new(way: AssignmentRule) -> Self {
        Self { way, cookie: None }
    }

    /// Sets a cookie with the response, which then is kept out of shared caches.
    pub fn set_cookie(mut self, cookie: HeaderValue) -> Self {
        self.cookie = Some(Box::new(cookie));
        self
    }
}
