use std::{error, fmt, time::Duration};

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Receivers refuse what was signed longer ago than this, or will be signed later than that from now:
/// long enough for clocks that differ, too short for most who copy traffic.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// The value of `x-canary-signature` for a body that is sent at this time, in seconds since 1970.
///
/// It is `sha256=`, and the HMAC-SHA256 in hexadecimal digits of the time in decimal digits, a dot, and
/// the body.
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

/// Checks a webhook, for receivers in Rust.
///
/// `timestamp` and `signature` are the headers `x-canary-timestamp` and `x-canary-signature`, and
/// `now` is in seconds since 1970. Give it the body as it came: JSON that was parsed and written anew
/// has other bytes. Signatures are compared in constant time, so that nobody can find one digit by
/// digit.
///
/// What was copied can be sent again for [`TOLERANCE`]: refuse an `x-canary-delivery` that you know.
///
/// # Errors
///
/// If a header is malformed, the time too far from `now`, or the signature not the body's.
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

/// Why [`verify`] refuses a webhook.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BadSignature {
    /// A header is not of the form that [`sign`] describes.
    Malformed,
    /// Somebody else signed it, or the body is not what was signed.
    Forged,
    /// It was signed too long ago, or the clocks differ too much.
    Stale,
}

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the timestamp or the signature is malformed",
            Self::Forged => "the signature is not that of the body",
            Self::Stale => "the signature is too old, or from the future",
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
    fn every_changed_byte_is_noticed() {
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
    fn malformed_headers_are_told_from_forged_ones() {
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
    fn the_window_has_two_ends() {
        let signature = sign(b"key", 1_000, b"{}");
        let at = |now| verify(b"key", "1000", &signature, b"{}", now);
        assert_eq!([at(700), at(1_300)], [Ok(()), Ok(())]);
        assert_eq!([at(699), at(1_301)], [Err(BadSignature::Stale), Err(BadSignature::Stale)]);
    }
}
