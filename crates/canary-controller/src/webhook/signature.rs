use std::{error, fmt, time::Duration};

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The maximum difference between the timestamp of a webhook and the receiver's clock: 5 minutes.
///
/// It tolerates clock skew and limits the time in which a recorded request can be replayed.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// Returns the value of `x-canary-signature` for a body sent at `timestamp`, in seconds since 1970.
///
/// The value is `sha256=` followed by the hexadecimal HMAC-SHA256 of the decimal timestamp, a dot,
/// and the body.
///
/// ```
/// use canary_controller::webhook::sign;
///
/// assert_eq!(
///     sign(b"0123456789abcdef", 1_764_000_000, br#"{"kind":"event"}"#),
///     "sha256=a69c87a9d859485ffa1cd54be71077a573659f68dace1f055f8864c1890e7b31",
/// );
/// ```
#[must_use]
pub fn sign(secret: &[u8], timestamp: u64, body: &[u8]) -> String {
    let bytes = mac(secret, timestamp, body).finalize().into_bytes();
    bytes.iter().fold(SCHEME.to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Verifies the signature of a webhook, for receivers written in Rust.
///
/// `timestamp` and `signature` are the values of the headers `x-canary-timestamp` and
/// `x-canary-signature`. `now` is in seconds since 1970. `body` must be the received bytes: parsing
/// and serializing JSON changes them. Signatures are compared in constant time, so that response
/// times reveal nothing about them.
///
/// A recorded request can be replayed within [`TOLERANCE`]. To prevent that, reject known values of
/// `x-canary-delivery`.
///
/// # Errors
///
/// Returns an error if a header is malformed, if the signature does not match, or if the timestamp
/// differs from `now` by more than [`TOLERANCE`].
///
/// ```
/// use canary_controller::webhook::{BadSignature, sign, verify};
///
/// let (secret, body) = (b"0123456789abcdef", br#"{"kind":"event"}"#);
/// let signature = sign(secret, 1_764_000_000, body);
///
/// assert_eq!(verify(secret, "1764000000", &signature, body, 1_764_000_012), Ok(()));
/// assert_eq!(
///     verify(secret, "1764000000", &signature, b"{}", 1_764_000_012),
///     Err(BadSignature::Forged),
/// );
/// assert_eq!(
///     verify(secret, "1764000000", &signature, body, 1_764_000_301),
///     Err(BadSignature::Stale),
/// );
/// ```
pub fn verify(
    secret: &[u8],
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: u64,
) -> Result<(), BadSignature> {
    let at = timestamp.parse::<u64>().map_err(|_| BadSignature::Malformed)?;
    let digits = signature.strip_prefix(SCHEME).ok_or(BadSignature::Malformed)?;
    let code = from_hex(digits).ok_or(BadSignature::Malformed)?;
    mac(secret, at, body).verify_slice(&code).map_err(|_| BadSignature::Forged)?;
    if at.abs_diff(now) > TOLERANCE.as_secs() {
        return Err(BadSignature::Stale);
    }
    Ok(())
}

/// The error of [`verify`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BadSignature {
    /// A header does not have the format described in [`sign`].
    Malformed,
    /// The signature was made with another secret, timestamp or body.
    Forged,
    /// The timestamp is outside of [`TOLERANCE`].
    Stale,
}

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the timestamp or the signature is malformed",
            Self::Forged => "the signature does not match the body",
            Self::Stale => "the timestamp is too far from the current time",
        })
    }
}

impl error::Error for BadSignature {}

fn mac(secret: &[u8], timestamp: u64, body: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.chain_update(format!("{timestamp}.")).chain_update(body)
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let digits = digits.as_bytes().chunks(2);
    digits.map(|pair| Some(digit(pair[0])? * 16 + digit(*pair.get(1)?)?)).collect()
}

const SCHEME: &str = "sha256=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_invalidates_the_signature() {
        let (secret, body) = (b"0123456789abcdef".as_slice(), b"{\"weight\":\"1%\"}");
        let signature = sign(secret, 1_000, body);
        assert_eq!(verify(secret, "1000", &signature, body, 1_000), Ok(()));
        for index in 0..body.len() {
            let mut body = *body;
            body[index] ^= 1;
            assert_eq!(verify(secret, "1000", &signature, &body, 1_000), Err(BadSignature::Forged));
        }
        assert_eq!(verify(secret, "1001", &signature, body, 1_000), Err(BadSignature::Forged));
        assert_eq!(verify(b"other", "1000", &signature, body, 1_000), Err(BadSignature::Forged));
        let cut = &signature[..signature.len() - 2];
        assert_eq!(verify(secret, "1000", cut, body, 1_000), Err(BadSignature::Forged));
    }

    #[test]
    fn malformed_headers_have_their_own_error() {
        let (body, signature) = (b"{}", sign(b"key", 1_000, b"{}"));
        let odd = &signature[..signature.len() - 1];
        let hex = signature.strip_prefix(SCHEME).unwrap();
        for (timestamp, signature) in [
            ("soon", signature.as_str()),
            ("1000", odd),
            ("1000", hex),
            ("1000", "sha256=zz"),
            ("1000", "sha256=ä"),
            ("-1000", &signature),
            ("", &signature),
        ] {
            let verified = verify(b"key", timestamp, signature, body, 1_000);
            assert_eq!(verified, Err(BadSignature::Malformed), "{timestamp:?} {signature:?}");
        }
    }

    #[test]
    fn timestamps_in_the_past_and_in_the_future_are_limited() {
        let signature = sign(b"key", 1_000, b"{}");
        let at = |now| verify(b"key", "1000", &signature, b"{}", now);
        assert_eq!([at(700), at(1_300)], [Ok(()), Ok(())]);
        assert_eq!([at(699), at(1_301)], [Err(BadSignature::Stale), Err(BadSignature::Stale)]);
    }
}
