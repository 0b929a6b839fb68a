use std::{error, fmt, time::Duration};

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The maximum difference between the timestamp of a webhook and the receiver's clock: 5 minutes.
///
/// It tolerates clock skew and limits the time in which a recorded request can be replayed.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// Returns the value of `x-canary-signature` for a body sent at `timestamp`, in seconds since 1970,
/// with this `x-canary-delivery`.
///
/// The value is `sha256=` followed by the hexadecimal HMAC-SHA256 of the decimal timestamp, a dot,
/// the delivery, a dot, and the body. Deliveries contain no dot, so that no other three values give
/// the same bytes.
///
/// ```
/// use canary_controller::webhook::sign;
///
/// assert_eq!(
///     sign(b"0123456789abcdef", 1_764_000_000, "checkout-7", br#"{"kind":"event"}"#),
///     "sha256=040a624e254504a6d0d953411f805daed44f30ed02ba1ab1a4ebc9731e6f3851",
/// );
/// ```
#[must_use]
pub fn sign(secret: &[u8], timestamp: u64, delivery: &str, body: &[u8]) -> String {
    let bytes = mac(secret, timestamp, delivery, body).finalize().into_bytes();
    bytes.iter().fold(SCHEME.to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Verifies the signature of a webhook, for receivers written in Rust.
///
/// `timestamp`, `delivery` and `signature` are the values of the headers `x-canary-timestamp`,
/// `x-canary-delivery` and `x-canary-signature`. `now` is in seconds since 1970. `body` must be the
/// received bytes: parsing and serializing JSON changes them. Signatures are compared in constant
/// time, so that response times reveal nothing about them.
///
/// A recorded request can be replayed within [`TOLERANCE`], with the same delivery only. To prevent
/// that, reject known deliveries.
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
/// let signature = sign(secret, 1_764_000_000, "checkout-7", body);
/// let verify = |delivery, now| verify(secret, "1764000000", delivery, &signature, body, now);
///
/// assert_eq!(verify("checkout-7", 1_764_000_012), Ok(()));
/// assert_eq!(verify("checkout-8", 1_764_000_012), Err(BadSignature::Forged));
/// assert_eq!(verify("checkout-7", 1_764_000_301), Err(BadSignature::Stale));
/// ```
pub fn verify(
    secret: &[u8],
    timestamp: &str,
    delivery: &str,
    signature: &str,
    body: &[u8],
    now: u64,
) -> Result<(), BadSignature> {
    let at = timestamp.parse::<u64>().map_err(|_| BadSignature::Malformed)?;
    let digits = signature.strip_prefix(SCHEME).ok_or(BadSignature::Malformed)?;
    let code = from_hex(digits).ok_or(BadSignature::Malformed)?;
    // Other spellings of the same number, such as `+1`, are not what was signed.
    if at.to_string() != timestamp || !is_delivery(delivery) {
        return Err(BadSignature::Malformed);
    }
    mac(secret, at, delivery, body).verify_slice(&code).map_err(|_| BadSignature::Forged)?;
    if at.abs_diff(now) > TOLERANCE.as_secs() {
        return Err(BadSignature::Stale);
    }
    Ok(())
}

/// Returns whether a text can be the id of a delivery: visible ASCII without a dot.
pub(super) fn is_delivery(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.')
}

/// The error of [`verify`].
#[derive(Clone, Copy, Eq, PartialEq)]
#[non_exhaustive]
pub enum BadSignature {
    /// A header does not have the format described in [`sign`].
    Malformed,
    /// The signature was made with another secret, timestamp, delivery or body.
    Forged,
    /// The timestamp is outside of [`TOLERANCE`].
    Stale,
}

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the timestamp, the delivery or the signature is malformed",
            Self::Forged => "the signature does not match the request",
            Self::Stale => "the timestamp is too far from the current time",
        })
    }
}

impl error::Error for BadSignature {}

canary_core::debug_as_display!(BadSignature);

fn mac(secret: &[u8], timestamp: u64, delivery: &str, body: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.chain_update(format!("{timestamp}.{delivery}.")).chain_update(body)
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
        let (secret, body) = (b"0123456789abcdef".as_slice(), b"{\"weight\":\"1%\"}".as_slice());
        let signature = sign(secret, 1_000, "shop-1", body);
        let verified = |secret: &[u8], timestamp: &str, delivery: &str, body: &[u8]| {
            verify(secret, timestamp, delivery, &signature, body, 1_000)
        };
        assert_eq!(verified(secret, "1000", "shop-1", body), Ok(()));
        for index in 0..body.len() {
            let mut changed = body.to_vec();
            changed[index] ^= 1;
            let forged = verified(secret, "1000", "shop-1", &changed);
            assert_eq!(forged, Err(BadSignature::Forged));
        }
        assert_eq!(verified(secret, "1001", "shop-1", body), Err(BadSignature::Forged));
        assert_eq!(verified(secret, "1000", "shop-2", body), Err(BadSignature::Forged));
        assert_eq!(verified(b"other", "1000", "shop-1", body), Err(BadSignature::Forged));
        let cut = &signature[..signature.len() - 2];
        let forged = verify(secret, "1000", "shop-1", cut, body, 1_000);
        assert_eq!(forged, Err(BadSignature::Forged));
    }

    #[test]
    fn bytes_cannot_move_between_the_parts_that_are_signed() {
        let signature = sign(b"key", 1_000, "a", b"b.{}");
        let verified =
            |delivery, body: &[u8]| verify(b"key", "1000", delivery, &signature, body, 1_000);
        assert_eq!(verified("a", b"b.{}"), Ok(()));
        assert_eq!(verified("a.b", b"{}"), Err(BadSignature::Malformed));
    }

    #[test]
    fn malformed_headers_have_their_own_error() {
        let (body, signature) = (b"{}", sign(b"key", 1_000, "1", b"{}"));
        let odd = &signature[..signature.len() - 1];
        let hex = signature.strip_prefix(SCHEME).unwrap();
        for (timestamp, delivery, signature) in [
            ("soon", "1", signature.as_str()),
            ("1000", "1", odd),
            ("1000", "1", hex),
            ("1000", "1", "sha256=zz"),
            ("1000", "1", "sha256=ä"),
            ("-1000", "1", &signature),
            ("+1000", "1", &signature),
            ("01000", "1", &signature),
            (" 1000", "1", &signature),
            ("", "1", &signature),
            ("1000", "", &signature),
            ("1000", "a b", &signature),
            ("1000", "ä", &signature),
        ] {
            let verified = verify(b"key", timestamp, delivery, signature, body, 1_000);
            let case = format!("{timestamp:?} {delivery:?} {signature:?}");
            assert_eq!(verified, Err(BadSignature::Malformed), "{case}");
        }
    }

    #[test]
    fn timestamps_in_the_past_and_in_the_future_are_limited() {
        let signature = sign(b"key", 1_000, "1", b"{}");
        let at = |now| verify(b"key", "1000", "1", &signature, b"{}", now);
        assert_eq!([at(700), at(1_300)], [Ok(()), Ok(())]);
        assert_eq!([at(699), at(1_301)], [Err(BadSignature::Stale), Err(BadSignature::Stale)]);
    }
}
