use std::fmt;

use canary_core::{Bucket, CanaryName, Weight};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::{control::epoch_settings::EpochSettings, select::cookies};

/// What a policy sees of a request, and of the canary at that moment.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
    canary: &'a CanaryName,
    settings: &'a EpochSettings,
}

impl<'a> Incoming<'a> {
    pub(crate) fn new<B>(
        request: &'a Request<B>,
        canary: &'a CanaryName,
        settings: &'a EpochSettings,
    ) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
            canary,
            settings,
        }
    }

    /// The request's method.
    #[must_use]
    pub const fn method(&self) -> &'a Method {
        self.method
    }

    /// The request's URI, as the layer sees it: under axum's `nest`, without the prefix.
    #[must_use]
    pub const fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The path as the client asked for it: under axum's `nest`, with the prefix.
    #[must_use]
    pub fn path(&self) -> &'a str {
        original_path(self.uri, self.extensions)
    }

    /// The request's headers.
    #[must_use]
    pub const fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The value of a header that occurs once. One that is repeated says nothing certain.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<&'a [u8]> {
        // Most requests repeat no header at all.
        if self.headers.len() == self.headers.keys_len() {
            return self.headers.get(name).map(HeaderValue::as_bytes);
        }
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then(|| value.as_bytes())
    }

    /// The value of a cookie, as it was sent. Of several with the name the first counts, which is the
    /// one that browsers hold for the most specific.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        cookies::find(self.headers, name)
    }

    /// What outer layers put into the request's extensions.
    #[must_use]
    pub const fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// The canary's name.
    #[must_use]
    pub const fn canary(&self) -> &'a CanaryName {
        self.canary
    }

    /// The weight in force.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.settings.weight
    }

    /// A key to assign by, hashed with the canary's salt. The bytes are taken as they are.
    ///
    /// `None`, if there are none, or more than [`StickyKey::MAX_LENGTH`]: whoever sends such a key is
    /// treated as if there were none.
    #[must_use]
    pub fn sticky_key(&self, key: impl AsRef<[u8]>) -> Option<StickyKey> {
        let key = key.as_ref();
        (1..=StickyKey::MAX_LENGTH).contains(&key.len()).then(|| self.settings.salt.hash(key))
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the headers, which may hold secrets.
        f.debug_struct("Incoming")
            .field("method", self.method)
            .field("path", &self.path())
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}

/// The path as the client asked for it, with the prefix that axum's `nest` takes off.
pub(crate) fn original_path<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a str {
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(original)) = extensions.get() {
        return original.path();
    }
    let _ = extensions;
    uri.path()
}

/// The salted hash of a key that identifies a caller.
///
/// ```
/// use tower_canary::select::StickyKey;
///
/// let key = StickyKey::new("checkout:1", "user-1");
/// assert_eq!(key.hash(), 0xbe64_50c3_656b_097e);
/// assert_eq!(key.bucket().index(), 743_718);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct StickyKey(u64);

impl StickyKey {
    /// The most bytes that a key may have. Longer ones identify nobody, and cost time to hash.
    pub const MAX_LENGTH: usize = 256;

    /// The key of `key` for the canary of this salt: xxh64, with seed 0, of the salt, a zero byte, and
    /// the key.
    #[must_use]
    pub fn new(salt: &str, key: impl AsRef<[u8]>) -> Self {
        crate::select::salt::Salt::new(salt).hash(key.as_ref())
    }

    pub(crate) const fn from_hash(hash: u64) -> Self {
        Self(hash)
    }

    /// The hash.
    #[must_use]
    pub const fn hash(self) -> u64 {
        self.0
    }

    /// The bucket, by which the weight decides.
    #[must_use]
    pub const fn bucket(self) -> Bucket {
        Bucket::from_hash(self.0)
    }
}
