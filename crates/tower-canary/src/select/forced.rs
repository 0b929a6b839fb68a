use std::borrow::Cow;

use canary_core::{CanaryName, Channel, Secret};
use http::{HeaderMap, HeaderName};
use subtle::{Choice, ConstantTimeEq};

use crate::select::{Condition, Incoming, Select, Selection, cookies};

/// Lets testers choose their channel with a header or a cookie.
///
/// A forced call reaches the canary even at weight zero, so that a team can try its canary before
/// other callers get it. Only a halt prevents it. Forced calls are counted separately and are not
/// evidence.
///
/// With a secret, the value is `canary:` or `stable:` followed by the secret. With a condition, the
/// value is `canary` or `stable`. Any other value, and a repeated header, is ignored.
///
/// The header or cookie is removed before a service sees it, whether it was valid or not. Nested
/// canaries therefore need different names for it.
///
/// A [rollback](crate::CanaryHandle::roll_back) asks the streams of testers to end as well, and a
/// [concurrency limit](crate::CanaryOptions::concurrency_limit) applies to their calls. At full
/// weight, `stable:` still chooses stable, even if stable has been shut down.
///
/// ```
/// use http::HeaderName;
/// use tower_canary::{
///     CanaryOptions,
///     select::{Forced, Secret},
/// };
///
/// let secret = Secret::try_new("0b2f7c65a41d4f1e9c3d")?; // from your configuration
/// let testers = Forced::by_header(HeaderName::from_static("x-canary-force"), secret);
/// let options = CanaryOptions::new().select(testers);
/// // curl -H 'x-canary-force: canary:0b2f7c65a41d4f1e9c3d' ...
/// # let _ = options;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Forced {
    source: TokenSource,
    admission: Admission,
}

#[derive(Debug)]
enum TokenSource {
    Header(HeaderName),
    Cookie(Cow<'static, str>),
}

#[derive(Debug)]
enum Admission {
    Secrets(Vec<Secret>),
    Condition(Condition),
}

impl Forced {
    /// Reads the channel and the secret from a header.
    pub fn by_header(name: HeaderName, secret: Secret) -> Self {
        Self { source: TokenSource::Header(name), admission: Admission::Secrets(vec![secret]) }
    }

    /// Reads the channel and the secret from a cookie.
    pub fn by_cookie(name: impl Into<Cow<'static, str>>, secret: Secret) -> Self {
        Self {
            source: TokenSource::Cookie(name.into()),
            admission: Admission::Secrets(vec![secret]),
        }
    }

    /// Reads the channel from a header of requests that meet `condition`.
    ///
    /// The condition can examine an address, a client certificate, or the user that an outer layer
    /// authenticated.
    pub const fn by_header_if(name: HeaderName, condition: Condition) -> Self {
        Self { source: TokenSource::Header(name), admission: Admission::Condition(condition) }
    }

    /// Reads the channel from a cookie of requests that meet `condition`.
    pub fn by_cookie_if(name: impl Into<Cow<'static, str>>, condition: Condition) -> Self {
        Self {
            source: TokenSource::Cookie(name.into()),
            admission: Admission::Condition(condition),
        }
    }

    /// Accepts another secret too, so that a secret can be replaced without locking testers out.
    ///
    /// # Panics
    ///
    /// Panics if this was made with a condition.
    pub fn or_secret(mut self, secret: Secret) -> Self {
        match &mut self.admission {
            Admission::Secrets(secrets) => secrets.push(secret),
            Admission::Condition(_) => {
                panic!("cannot add a secret: a condition admits these requests")
            }
        }
        self
    }
}

impl Select for Forced {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        let value = match &self.source {
            TokenSource::Header(name) => request.header(name)?,
            TokenSource::Cookie(name) => request.cookie(name)?,
        };
        let (channel, rest) =
            [Channel::Canary, Channel::Stable].into_iter().find_map(|channel| {
                Some((channel, value.strip_prefix(channel.as_str().as_bytes())?))
            })?;
        let is_admitted = match &self.admission {
            Admission::Secrets(secrets) => is_one_of(rest.strip_prefix(b":")?, secrets),
            Admission::Condition(condition) => rest.is_empty() && condition.matches(request),
        };
        is_admitted.then(|| Selection::forced(channel))
    }

    fn may_be_sticky(&self) -> bool {
        false
    }

    fn strip(&self, headers: &mut HeaderMap, _: &CanaryName) {
        match &self.source {
            TokenSource::Header(name) => {
                headers.remove(name);
            }
            TokenSource::Cookie(name) => cookies::remove(headers, name),
        }
    }
}

/// Compares in constant time: the duration depends on the lengths of the secrets only.
fn is_one_of(given: &[u8], secrets: &[Secret]) -> bool {
    let matches = secrets.iter().map(|secret| secret.as_bytes().ct_eq(given));
    matches.fold(Choice::from(0), |any, one| any | one).into()
}
