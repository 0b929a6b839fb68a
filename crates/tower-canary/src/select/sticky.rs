use std::{borrow::Cow, fmt};

use canary_core::Channel;
use http::HeaderName;

#[cfg(feature = "cookie")]
use crate::select::IssuedCookie;
use crate::select::{Incoming, Select, Selection, StickyKey};

/// Keeps each caller on one channel, by a key that identifies the caller.
///
/// The key is looked for in the places named, in their order; the first that has one counts. Who has none
/// is left to the next policy, in the end to the draw, unless [`or_stable`](Self::or_stable) or
/// [`or_issue`](Self::or_issue) says otherwise.
///
/// A key that is empty, longer than [256 bytes](StickyKey::MAX_LENGTH), or in a header that occurs more
/// than once counts as absent; of cookies with the same name the first counts. Keys need not be UTF-8.
///
/// # Identity that changes
///
/// A user who logs in has another key than the visitor had, and may change the channel once, at that
/// moment. Name the more lasting identity first: with `by_header(user_id).or_cookie("visitor")` a user
/// is on one channel on all devices, and a visitor until the login.
///
/// # Example
///
/// ```
/// use http::HeaderName;
/// use tower_canary::{CanaryOptions, select::Sticky};
///
/// #[derive(Clone)]
/// struct UserId(String); // put into the request's extensions by the layer that authenticates
///
/// let policy = Sticky::by(|request| request.sticky_key(&request.extensions().get::<UserId>()?.0))
///     .or_header(HeaderName::from_static("x-device-id"))
///     .or_cookie("session");
/// let options = CanaryOptions::new().select(policy);
/// # let _ = options;
/// ```
#[must_use]
pub struct Sticky {
    sources: Vec<Source>,
}

enum Source {
    Header(HeaderName),
    Cookie(Cow<'static, str>),
    Function(Box<KeyFunction>),
    #[cfg(feature = "cookie")]
    Issued(IssuedCookie),
    Stable,
}

type KeyFunction = dyn Fn(&Incoming<'_>) -> Option<StickyKey> + Send + Sync;

impl Sticky {
    /// By a request header.
    pub fn by_header(name: HeaderName) -> Self {
        Self { sources: vec![Source::Header(name)] }
    }

    /// By a cookie that the application sets.
    pub fn by_cookie(name: impl Into<Cow<'static, str>>) -> Self {
        Self { sources: vec![Source::Cookie(name.into())] }
    }

    /// By what the function makes of the request with [`Incoming::sticky_key`].
    pub fn by(key: impl Fn(&Incoming<'_>) -> Option<StickyKey> + Send + Sync + 'static) -> Self {
        Self { sources: vec![Source::Function(Box::new(key))] }
    }

    /// By a cookie that the layer sets for callers without one.
    #[cfg(feature = "cookie")]
    pub fn by_issued(cookie: IssuedCookie) -> Self {
        Self { sources: vec![Source::Issued(cookie)] }
    }

    /// Else by a request header.
    pub fn or_header(self, name: HeaderName) -> Self {
        self.or_source(Source::Header(name))
    }

    /// Else by a cookie that the application sets.
    pub fn or_cookie(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.or_source(Source::Cookie(name.into()))
    }

    /// Else by what the function makes of the request with [`Incoming::sticky_key`].
    pub fn or_by(
        self,
        key: impl Fn(&Incoming<'_>) -> Option<StickyKey> + Send + Sync + 'static,
    ) -> Self {
        self.or_source(Source::Function(Box::new(key)))
    }

    /// Else by a cookie that the layer sets for callers without one. Nobody is left after that.
    #[cfg(feature = "cookie")]
    pub fn or_issue(self, cookie: IssuedCookie) -> Self {
        self.or_source(Source::Issued(cookie))
    }

    /// Else stable: who has no key never gets the canary. Such calls are no evidence, and their reason
    /// is [`Rule`](crate::AssignmentReason::Rule).
    pub fn or_stable(self) -> Self {
        self.or_source(Source::Stable)
    }

    fn or_source(mut self, source: Source) -> Self {
        self.sources.push(source);
        self
    }
}

impl Select for Sticky {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        self.sources.iter().find_map(|source| source.select(request))
    }
}

impl Source {
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

impl fmt::Debug for Source {
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
