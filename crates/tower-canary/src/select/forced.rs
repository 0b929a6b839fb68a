use std::{borrow::Cow, error, fmt};

use canary_core::{CanaryName, Channel};
use http::{HeaderMap, HeaderName};
use subtle::{Choice, ConstantTimeEq};

use crate::select::{Incoming, Select, Selection, cookies};

/// Lets testers choose their channel, by a header or a cookie.
///
/// This is how a team looks at its canary first: a forced call reaches the canary at weight zero, too,
/// and only a halt keeps it away. Forced calls are counted apart and are no evidence.
///
/// Where a secret is asked for, the value is `canary:` or `stable:` and the secret; where a check of your
/// own decides, it is `canary` or `stable`. Any other value, and a header that is repeated, is as if there
/// were none. The header or cookie is removed before any service sees it, whether it was right or wrong: of
/// canaries one inside the other, each needs a name of its own.
///
/// A [rollback](crate::CanaryHandle::roll_back) asks the streams of testers to end, too, and
/// [limits](crate::CanaryOptions::concurrency_limit) hold for their calls. At full weight `stable:` is stable,
/// which may be gone.
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

enum Admission {
    Secrets(Vec<Secret>),
    Check(Box<dyn Fn(&Incoming<'_>) -> bool + Send + Sync>),
}

impl Forced {
    /// By a header with a secret.
    pub fn by_header(name: HeaderName, secret: Secret) -> Self {
        Self { source: TokenSource::Header(name), admission: Admission::Secrets(vec![secret]) }
    }

    /// By a cookie with a secret.
    pub fn by_cookie(name: impl Into<Cow<'static, str>>, secret: Secret) -> Self {
        Self {
            source: TokenSource::Cookie(name.into()),
            admission: Admission::Secrets(vec![secret]),
        }
    }

    /// By a header, from callers that the check admits: by an address, a client certificate, or the user
    /// that an outer layer found out.
    pub fn by_header_if(
        name: HeaderName,
        admits: impl Fn(&Incoming<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { source: TokenSource::Header(name), admission: Admission::Check(Box::new(admits)) }
    }

    /// By a cookie, from callers that the check admits.
    pub fn by_cookie_if(
        name: impl Into<Cow<'static, str>>,
        admits: impl Fn(&Incoming<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            source: TokenSource::Cookie(name.into()),
            admission: Admission::Check(Box::new(admits)),
        }
    }

    /// Admits another secret too, so that secrets can be changed without locking anybody out.
    ///
    /// # Panics
    ///
    /// If a check decides, and no secret.
    pub fn or_secret(mut self, secret: Secret) -> Self {
        match &mut self.admission {
            Admission::Secrets(secrets) => secrets.push(secret),
            Admission::Check(_) => panic!("a check decides who is admitted here, and no secret"),
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
            Admission::Check(admits) => rest.is_empty() && admits(request),
        };
        is_admitted.then(|| Selection::forced(channel))
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

/// How long this takes depends on the lengths of the secrets, not on what is right about `given`.
fn is_one_of(given: &[u8], secrets: &[Secret]) -> bool {
    let matches = secrets.iter().map(|secret| secret.as_bytes().ct_eq(given));
    matches.fold(Choice::from(0), |any, one| any | one).into()
}

impl fmt::Debug for Forced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forced").field("place", &self.source).finish_non_exhaustive()
    }
}

/// A text that only those know who may: it does not show in `Debug`.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// The least bytes that a secret must have.
    pub const MIN_LENGTH: usize = 16;

    /// Takes a text for a secret.
    ///
    /// # Errors
    ///
    /// If it has less than [`MIN_LENGTH`](Self::MIN_LENGTH) bytes, which can be guessed, or a character
    /// that does not fit into a header and a cookie: all visible ASCII does, but for `"`, `,`, `;`
    /// and `\`.
    pub fn try_new(secret: impl Into<Box<str>>) -> Result<Self, InvalidSecret> {
        let secret = secret.into();
        if secret.len() < Self::MIN_LENGTH {
            return Err(InvalidSecret { fault: Fault::TooShort { length: secret.len() } });
        }
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        match secret.bytes().position(|byte| !fits(byte)) {
            Some(at) => Err(InvalidSecret { fault: Fault::Character { at } }),
            None => Ok(Self(secret)),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A text that cannot be a [`Secret`]. The message does not contain it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidSecret {
    fault: Fault,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Fault {
    TooShort { length: usize },
    Character { at: usize },
}

impl fmt::Display for InvalidSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::TooShort { length } => {
                write!(
                    f,
                    "a secret has at least {} bytes, but this has {length}",
                    Secret::MIN_LENGTH
                )
            }
            Fault::Character { at } => {
                write!(f, "byte {at} of the secret is not visible ASCII, or one of \" , ; \\")
            }
        }
    }
}

impl error::Error for InvalidSecret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_no_good_is_refused_without_being_shown() {
        for (secret, message) in [
            ("short", "a secret has at least 16 bytes, but this has 5"),
            (
                "a secret with spaces",
                "byte 1 of the secret is not visible ASCII, or one of \" , ; \\",
            ),
            (
                "semicolon;semicolon",
                "byte 9 of the secret is not visible ASCII, or one of \" , ; \\",
            ),
        ] {
            assert_eq!(Secret::try_new(secret).unwrap_err().to_string(), message);
        }
        let secret = Secret::try_new("0123456789abcdef").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
