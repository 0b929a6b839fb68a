use canary_core::Channel;
use http::HeaderValue;

use crate::select::StickyKey;

/// A policy's decision on how to assign a call.
///
/// The [module documentation](crate::select) has a table of its effect at each weight.
#[derive(Clone, Debug)]
#[must_use]
pub struct Selection {
    pub(crate) rule: AssignmentRule,
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
    /// Assigns the call at random by the weight.
    pub const fn at_weight() -> Self {
        Self::new(AssignmentRule::AtWeight)
    }

    /// Assigns the call by a key: at one weight, all calls with the key go to the same channel.
    pub const fn sticky(key: StickyKey) -> Self {
        Self::new(AssignmentRule::Sticky(key))
    }

    /// Assigns the call to `channel` at any weight except zero, where stable gets it.
    pub const fn always(channel: Channel) -> Self {
        Self::new(AssignmentRule::Always(channel))
    }

    /// Assigns the call to `channel` at any weight, zero included.
    pub const fn forced(channel: Channel) -> Self {
        Self::new(AssignmentRule::Forced(channel))
    }

    /// Assigns the call to the channel that an earlier service chose. At weight zero, stable gets
    /// it.
    pub const fn propagated(channel: Channel) -> Self {
        Self::new(AssignmentRule::Propagated(channel))
    }

    const fn new(rule: AssignmentRule) -> Self {
        Self { rule, cookie: None }
    }

    /// Sets a cookie with the response, and keeps the response out of shared caches.
    pub fn set_cookie(mut self, cookie: HeaderValue) -> Self {
        self.cookie = Some(Box::new(cookie));
        self
    }
}
