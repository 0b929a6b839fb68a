use std::{borrow::Cow, fmt};

use canary_core::Channel;
use http::HeaderName;

#[cfg(feature = "cookie")]
use crate::select::IssuedCookie;
use crate::select::{Incoming, Select, Selection, StickyKey};

/// Keeps each caller on one channel, by a key that identifies the caller.
///
/// The sources are tried in order, and the first one with a key decides. A call without a key is
/// left to the next policy, unless [`or_stable`](Self::or_stable) or `or_issue` handles it. If no
/// policy matches, the call is assigned at random.
///
/// A key counts as absent if it is empty, longer than [256 bytes](StickyKey::MAX_LENGTH), or in a
/// repeated header. Of several cookies with one name, the first counts. Keys need not be UTF-8.
///
/// # Identities that change
///
/// After a login, a user has another key than the visitor had, and may change the channel once.
/// Name the more lasting identity first: with `by_header(user_id).or_cookie("visitor")`, a user has
/// one channel on all devices, and a visitor keeps the channel until the login.
///
/// # Example
///
/// ```
/// use http::HeaderName;
/// use tower_canary::{CanaryOptions, select::Sticky};
///
/// #[derive(Clone)]
/// struct UserId(String); // set in the extensions by the layer that authenticates
///
/// let policy = Sticky::by(|request| request.sticky_key(&request.extensions().get::<UserId>()?.0))
///     .or_header(HeaderName::from_static("x-device-id"))
///     .or_cookie("session");
/// let options = CanaryOptions::new().select(policy);
/// # let _ = options;
/// ```
#[must_use]
pub struct Sticky {
    sources: Vec<KeySource>,
}

enum KeySource {
    Header(HeaderName),
    Cookie(Cow<'static, str>),
    Function(Box<KeyFunction>),
    #[cfg(feature = "cookie")]
    Issued(IssuedCookie),
    Stable,
}

pub(crate) type KeyFunction = dyn Fn(&Incoming<'_>) -> Option<StickyKey> + Send + Sync;

impl Sticky {
    /// Reads the key from a request header.
    pub fn by_header(name: HeaderName) -> Self {
        Self { sources: vec![KeySource::Header(name)] }
    }

    /// Reads the key from a cookie that the application sets.
    pub fn by_cookie(name: impl Into<Cow<'static, str>>) -> Self {
        Self { sources: vec![KeySource::Cookie(name.into())] }
    }

    /// Gets the key from a function that calls [`Incoming::sticky_key`].
    pub fn by(key: impl Fn(&Incoming<'_>) -> Option<StickyKey> + Send + Sync + 'static) -> Self {
        Self { sources: vec![KeySource::Function(Box::new(key))] }
    }

    /// Reads the key from a cookie that the layer issues to callers without one.
    #[cfg(feature = "cookie")]
    pub fn by_issued(cookie: IssuedCookie) -> Self {
        Self { sources: vec![KeySource::Issued(cookie)] }
    }

    /// Reads a request header if the sources so far have no key.
    pub fn or_header(self, name: HeaderName) -> Self {
        self.or_source(KeySource::Header(name))
    }

    /// Reads a cookie that the application sets if the sources so far have no key.
    pub fn or_cookie(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.or_source(KeySource::Cookie(name.into()))
    }

    /// Calls a function that calls [`Incoming::sticky_key`] if the sources so far have no key.
    pub fn or_by(
        self,
        key: impl Fn(&Incoming<'_>) -> Option<StickyKey> + Send + Sync + 'static,
    ) -> Self {
        self.or_source(KeySource::Function(Box::new(key)))
    }

    /// Reads a cookie that the layer issues to callers without one, if the sources so far have no
    /// key. Every call then has a key.
    #[cfg(feature = "cookie")]
    pub fn or_issue(self, cookie: IssuedCookie) -> Self {
        self.or_source(KeySource::Issued(cookie))
    }

    /// Assigns calls without a key to stable. They are not evidence, and their reason is
    /// [`Rule`](crate::AssignmentReason::Rule).
    pub fn or_stable(self) -> Self {
        self.or_source(KeySource::Stable)
    }

    fn or_source(mut self, source: KeySource) -> Self {
        self.sources.push(source);
        self
    }
}

impl Select for Sticky {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        self.sources.iter().find_map(|source| source.select(request))
    }
}

impl KeySource {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        let key = match self {
            Self::Header(name) => request.sticky_key(request.header(name)?),
            Self::Cookie(name) => request.sticky_key(request.cookie(name)?),
            Self::Function(key) => key(request),
            #[cfg(feature = "cookie")]
            Self::Issued(cookie) => return Some(cookie.select(request)),
            Self::Stable => return Some(Selection::always(Channel::Stable)),
        };
        key.map(Selection::sticky)
    }
}

impl fmt::Debug for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sticky").field("sources", &self.sources).finish()
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => f.debug_tuple("Header").field(name).finish(),
            Self::Cookie(name) => f.debug_tuple("Cookie").field(name).finish(),
            Self::Function(_) => f.write_str("Function"),
            #[cfg(feature = "cookie")]
            Self::Issued(cookie) => f.debug_tuple("Issued").field(cookie).finish(),
            Self::Stable => f.write_str("Stable"),
        }
    }
}
