use std::{error, fmt, str::FromStr};

use crate::secret::without_line_break;

/// The secret key of the hash that assigns sticky keys to channels: 128 bits.
///
/// A caller who can compute the hash can choose a key for each channel, and so decide which calls
/// the judge compares. With a secret, only the service can compute it. All replicas need the same
/// secret.
///
/// It parses from 32 hexadecimal digits, such as the output of `openssl rand -hex 16` with its line
/// break. It is never printed: [`Debug`](fmt::Debug) hides it, and there is no `Display`.
///
/// ```
/// use canary_core::StickySecret;
///
/// let secret: StickySecret = "000102030405060708090a0b0c0d0e0f".parse()?;
/// assert_eq!(secret.as_bytes()[15], 15);
/// assert_eq!(format!("{secret:?}"), "StickySecret(..)");
///
/// let error = "0001".parse::<StickySecret>().unwrap_err();
/// assert_eq!(error.to_string(), "invalid sticky secret: expected 32 hexadecimal digits");
/// # Ok::<(), canary_core::InvalidStickySecret>(())
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct StickySecret([u8; 16]);

impl StickySecret {
    /// Creates a secret from 16 random bytes.
    ///
    /// They must come from a generator for cryptography. All other bytes could be guessed.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the secret.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the secret as 32 hexadecimal digits, for storage.
    #[must_use]
    pub fn to_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for StickySecret {
    type Err = InvalidStickySecret;

    fn from_str(text: &str) -> Result<Self, InvalidStickySecret> {
        let text = without_line_break(text);
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        number.map(|number| Self(number.to_be_bytes())).ok_or(InvalidStickySecret(()))
    }
}

impl fmt::Debug for StickySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StickySecret(..)")
    }
}

/// The error for text that is not a [`StickySecret`]. The message does not repeat the text.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct InvalidStickySecret(());

impl fmt::Display for InvalidStickySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid sticky secret: expected 32 hexadecimal digits")
    }
}

crate::debug_as_display!(InvalidStickySecret);

impl error::Error for InvalidStickySecret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_round_trips_through_its_hexadecimal_digits() {
        for bytes in [[0; 16], [0xff; 16], [7; 16]] {
            let secret = StickySecret::from_bytes(bytes);
            assert_eq!(secret.to_hex().parse(), Ok(secret));
            assert_eq!(format!("{}\r\n", secret.to_hex()).parse(), Ok(secret));
        }
    }

    #[test]
    fn text_that_is_not_32_digits_is_refused_and_not_repeated() {
        let two_breaks = format!("{}\n\n", "0".repeat(32));
        for text in
            [&two_breaks, "", "+00102030405060708090a0b0c0d0e0f", "0001", "zz", &"0".repeat(33)]
        {
            let error = text.parse::<StickySecret>().unwrap_err();
            assert_eq!(error.to_string(), "invalid sticky secret: expected 32 hexadecimal digits");
        }
    }
}
