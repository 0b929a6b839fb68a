use std::fmt;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, request::Parts};

use crate::select::cookies;

/// A borrowed view of a request without its body, as a [`Condition`](crate::select::Condition) sees
/// it.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> RequestHead<'a> {
    /// Borrows the head of `request`.
    #[must_use]
    pub fn new<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// Returns the method.
    #[must_use]
    pub const fn method(&self) -> &'a Method {
        self.method
    }

    /// Returns the URI that the layer received. Under axum's `nest`, it lacks the prefix.
    #[must_use]
    pub const fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// Returns the path that the client requested. Under axum's `nest`, it includes the prefix.
    #[must_use]
    pub fn path(&self) -> &'a str {
        #[cfg(feature = "axum")]
        if let Some(axum::extract::OriginalUri(original)) = self.extensions.get() {
            return original.path();
        }
        self.uri.path()
    }

    /// Returns the headers.
    #[must_use]
    pub const fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the value of a header, or `None` if the header is absent or repeated.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<&'a [u8]> {
        // Most requests repeat no header, which makes the check below unnecessary.
        if self.headers.len() == self.headers.keys_len() {
            return self.headers.get(name).map(HeaderValue::as_bytes);
        }
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then(|| value.as_bytes())
    }

    /// Returns the raw value of a cookie.
    ///
    /// If several cookies have this name, it returns the first: browsers send the most specific one
    /// first.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        cookies::find(self.headers, name)
    }

    /// Returns the extensions, which outer layers may have set.
    #[must_use]
    pub const fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and extensions may hold secrets.
        f.debug_struct("RequestHead")
            .field("method", self.method)
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
