use std::{fmt, time::Duration};

use cookie::{Cookie, CookieJar, Key, SameSite, time};
use http::HeaderValue;

use crate::select::{Incoming, Secret, Selection};

/// A cookie that the layer sets for callers who come without an identity, so that they keep their channel.
///
/// Its value is an identity, 128 random bits, and no decision: the canary's weight decides about it as
/// about any key, now and later, and who changes the value only draws another lot. It is `HttpOnly`,
/// `SameSite=Lax`, valid for the whole site and for thirty days, unless you say otherwise.
///
/// A response that sets it is kept out of shared caches (`cache-control: private`). Callers that keep no
/// cookies, most gRPC clients among them, get a new identity with each call. Calls that a client makes at
/// once, before it has the cookie, get one each, and the client keeps the last.
///
/// It is set at weight zero, too, and under a halt. Where shared caches serve those without a cookie, issue
/// none while the canary gets nothing:
///
/// ```
/// use tower_canary::{
///     CanaryOptions, Weight,
///     select::{Incoming, IssuedCookie, Select, Sticky},
/// };
///
/// let visitors = Sticky::by_issued(IssuedCookie::new("canary_id"));
/// let options = CanaryOptions::new().select(move |request: &Incoming<'_>| {
///     if request.weight() == Weight::ZERO { None } else { visitors.select(request) }
/// });
/// # let _ = options;
/// ```
///
/// ```
/// use std::time::Duration;
/// use tower_canary::{
///     CanaryOptions,
///     select::{IssuedCookie, Secret, Sticky},
/// };
///
/// let key = Secret::try_new("T5u6Wd0mQ3pZ8sYxVbNfGhJkLrEaC2i7")?; // from your configuration
/// let cookie = IssuedCookie::new("canary_id")
///     .secure()
///     .max_age(Duration::from_secs(7 * 24 * 60 * 60))
///     .signed(&key);
/// let options = CanaryOptions::new().select(Sticky::by_issued(cookie));
/// # let _ = options;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct IssuedCookie {
    template: Cookie<'static>,
    key: Option<Key>,
}

impl IssuedCookie {
    /// A cookie of this name. One that begins with `__Host-` or `__Secure-` is [secure](Self::secure), since
    /// browsers refuse it otherwise.
    ///
    /// # Panics
    ///
    /// If the name is empty or has a character that a cookie's name must not have.
    pub fn new(name: &'static str) -> Self {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(
            !name.is_empty() && name.bytes().all(is_token),
            "the name of a cookie is letters, digits and !#$%&'*+-.^_`|~, but here it is {name:?}"
        );
        let lower = name.to_ascii_lowercase();
        let is_secure = lower.starts_with("__host-") || lower.starts_with("__secure-");
        let template = Cookie::build((name, ""))
            .http_only(true)
            .secure(is_secure)
            .same_site(SameSite::Lax)
            .path("/")
            .max_age(time::Duration::days(30))
            .build();
        Self { template, key: None }
    }

    /// Sends it over HTTPS only.
    pub fn secure(mut self) -> Self {
        self.template.set_secure(true);
        self
    }

    /// Never sends it with requests that come from other sites, not even when somebody follows a link.
    pub fn same_site_strict(mut self) -> Self {
        self.template.set_same_site(SameSite::Strict);
        self
    }

    /// Sends it with requests from other sites too, which browsers accept of a secure cookie only.
    pub fn same_site_none(mut self) -> Self {
        self.template.set_same_site(SameSite::None);
        self.secure()
    }

    /// How long browsers keep it: from a second up to a year.
    ///
    /// # Panics
    ///
    /// If it is shorter than a second, which deletes a cookie, or longer than a year, which browsers do
    /// not grant.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        assert!(
            max_age >= Duration::from_secs(1),
            "browsers keep no cookie for {max_age:?}: the shortest life is a second"
        );
        assert!(
            max_age <= Duration::from_secs(365 * 24 * 60 * 60),
            "browsers keep no cookie for {max_age:?}: the longest life is a year"
        );
        let seconds = i64::try_from(max_age.as_secs()).expect("a year is some 10^7 seconds");
        self.template.set_max_age(time::Duration::seconds(seconds));
        self
    }

    /// Signs the value (HMAC-SHA256), and takes one that we did not sign for none.
    ///
    /// So nobody can draw lots until they like their channel, other than by coming without a cookie.
    ///
    /// # Panics
    ///
    /// If the secret has less than 32 bytes.
    pub fn signed(mut self, key: &Secret) -> Self {
        let key = key.as_bytes();
        assert!(
            key.len() >= 32,
            "a key for signing has at least 32 bytes, but this has {}",
            key.len()
        );
        self.key = Some(Key::derive_from(key));
        self
    }

    pub(super) fn select(&self, request: &Incoming<'_>) -> Selection {
        if let Some(key) = self.identity(request).and_then(|id| request.sticky_key(id)) {
            return Selection::sticky(key);
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let key = request.sticky_key(&id).expect("it has 32 bytes");
        let cookie =
            HeaderValue::try_from(self.issue(id)).expect("all its parts are visible ASCII");
        Selection::sticky(key).set_cookie(cookie)
    }

    fn identity(&self, request: &Incoming<'_>) -> Option<String> {
        let name = self.template.name();
        let value = std::str::from_utf8(request.cookie(name)?).ok()?.to_owned();
        match &self.key {
            None => Some(value),
            Some(key) => {
                let cookie = Cookie::new(name.to_owned(), value);
                Some(CookieJar::new().signed(key).verify(cookie)?.value().to_owned())
            }
        }
    }

    fn issue(&self, id: String) -> String {
        let mut cookie = self.template.clone();
        cookie.set_value(id);
        if let Some(key) = &self.key {
            let mut jar = CookieJar::new();
            jar.signed_mut(key).add(cookie.clone());
            if let Some(signed) = jar.get(self.template.name()) {
                cookie = signed.clone();
            }
        }
        cookie.to_string()
    }
}

impl fmt::Debug for IssuedCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCookie")
            .field("template", &self.template)
            .field("is_signed", &self.key.is_some())
            .finish()
    }
}
