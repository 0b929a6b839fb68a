use std::{fmt, time::Duration};

use cookie::{Cookie, CookieJar, Key, SameSite, time};
use hmac::{Hmac, Mac};
use http::HeaderValue;
use sha2::Sha256;

use crate::select::{Incoming, Secret, Selection};

/// A cookie that the layer sets for callers without an identity, so that they keep their channel.
///
/// Its value is a random id of 128 bits, not a channel. Each call is assigned by the id and the
/// current weight, as with any other key. A caller who changes the value gets another random
/// bucket.
///
/// By default, the cookie is `HttpOnly`, `SameSite=Lax`, valid for the whole site and for 30 days.
///
/// A response that sets the cookie is kept out of shared caches (`cache-control: private`). Clients
/// that do not store cookies, such as most gRPC clients, get a new id with each call. Concurrent
/// calls of a client that does not have the cookie yet get one each, and the client keeps the last.
///
/// The cookie is also set at weight zero and under a halt. If shared caches serve callers without
/// cookies, do not issue it while the canary gets no calls:
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
/// A signed cookie for HTTPS, valid for seven days:
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
    /// Creates a cookie with this name.
    ///
    /// A name with the prefix `__Host-` or `__Secure-` makes it [secure](Self::secure), which
    /// browsers require.
    ///
    /// # Panics
    ///
    /// Panics if the name is empty, or has a character that cookie names must not have.
    pub fn new(name: &'static str) -> Self {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert!(
            !name.is_empty() && name.bytes().all(is_token),
            "cookie name {name:?}: expected letters, digits and !#$%&'*+-.^_`|~"
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

    /// Makes browsers send the cookie over HTTPS only.
    pub fn secure(mut self) -> Self {
        self.template.set_secure(true);
        self
    }

    /// Stops browsers from sending the cookie with requests from other sites, links included.
    pub fn same_site_strict(mut self) -> Self {
        self.template.set_same_site(SameSite::Strict);
        self
    }

    /// Makes browsers send the cookie with requests from other sites too.
    ///
    /// It also makes the cookie [secure](Self::secure), which browsers require.
    pub fn same_site_none(mut self) -> Self {
        self.template.set_same_site(SameSite::None);
        self.secure()
    }

    /// Sets how long browsers keep the cookie; the default is 30 days.
    ///
    /// # Panics
    ///
    /// Panics if `max_age` is less than a second, which would delete the cookie, or more than 365
    /// days, which browsers do not grant.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        assert!(
            max_age >= Duration::from_secs(1),
            "max age {max_age:?} of a cookie: expected at least a second"
        );
        assert!(
            max_age <= Duration::from_secs(365 * 24 * 60 * 60),
            "max age {max_age:?} of a cookie: expected at most 365 days"
        );
        let seconds = i64::try_from(max_age.as_secs()).expect("a year has 3 * 10^7 seconds");
        self.template.set_max_age(time::Duration::seconds(seconds));
        self
    }

    /// Signs the value with HMAC-SHA256, and ignores cookies without a valid signature, such as
    /// other cookies that the application signs with the same secret.
    ///
    /// Callers then cannot try out values until they get the channel they want. They can still drop
    /// the cookie to get another.
    #[expect(clippy::missing_panics_doc, reason = "an HMAC takes keys of any length")]
    pub fn signed(mut self, key: &Secret) -> Self {
        let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
            .expect("an HMAC takes keys of any length");
        // The signature covers only the value of a cookie. With the label and the name in the key,
        // no other cookie that is signed with the same secret is accepted as an id.
        let label = mac.chain_update(b"tower-canary cookie\0").chain_update(self.template.name());
        self.key = Some(Key::derive_from(&label.finalize().into_bytes()));
        self
    }

    pub(super) fn select(&self, request: &Incoming<'_>) -> Selection {
        if let Some(key) = self.identity(request).and_then(|id| request.sticky_key(id)) {
            return Selection::sticky(key);
        }
        let id = format!("{:032x}", rand::random::<u128>());
        let key = request.sticky_key(&id).expect("the id has 32 bytes");
        let cookie = HeaderValue::try_from(self.issue(id)).expect("a cookie is visible ASCII");
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The application signs its own cookies with the same secret, and callers can rename cookies.
    #[test]
    fn a_cookie_that_is_signed_for_another_purpose_is_no_id() {
        let secret = Secret::try_new("T5u6Wd0mQ3pZ8sYxVbNfGhJkLrEaC2i7").unwrap();
        let ours = IssuedCookie::new("id").signed(&secret);
        let ours_of_another_name = IssuedCookie::new("other").signed(&secret);
        let value = |key: &Key| {
            let mut jar = CookieJar::new();
            jar.signed_mut(key).add(Cookie::new("id", "dark"));
            jar.get("id").unwrap().value().to_owned()
        };
        let application = Key::derive_from(secret.as_bytes());
        for (key, is_accepted) in [
            (&application, false),
            (ours_of_another_name.key.as_ref().unwrap(), false),
            (ours.key.as_ref().unwrap(), true),
        ] {
            let cookie = Cookie::new("id", value(key));
            let verified = CookieJar::new().signed(ours.key.as_ref().unwrap()).verify(cookie);
            assert_eq!(verified.is_some(), is_accepted);
        }
    }
}
