use std::{error, fmt, str::FromStr};

/// A secret that two sides share: of forced calls, signed cookies, receipts and webhooks.
///
/// It has at least 16 bytes and no control character. One line break at the end is not a part of it,
/// because files usually have one: both sides then have the same secret, whether it comes from a
/// variable or a file. A secret that is [sent](Self::try_new) has further limits.
///
/// Create a secret with `openssl rand -hex 32`. Its `Debug` output is redacted.
///
/// ```
/// use canary_core::{InvalidSecret, Secret};
///
/// let secret = Secret::try_new("0b2f7c65a41d4f1e9c3d\n")?;
/// assert_eq!(secret.as_bytes(), b"0b2f7c65a41d4f1e9c3d");
/// assert_eq!(format!("{secret:?}"), "Secret(..)");
///
/// let error = Secret::try_new("0b2f7c65").unwrap_err();
/// assert_eq!(error.to_string(), "secret of 8 bytes: expected at least 16");
/// # Ok::<(), InvalidSecret>(())
/// ```
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// The minimum length of a secret in bytes.
    pub const MIN_LENGTH: usize = 16;

    /// Creates a secret for any purpose, also one that is sent in a header or a cookie.
    ///
    /// # Errors
    ///
    /// Returns an error if the secret is shorter than [`MIN_LENGTH`](Self::MIN_LENGTH) bytes, or
    /// has a character that is not allowed in a header and a cookie. Visible ASCII characters are
    /// allowed, except `"`, `,`, `;` and `\`.
    pub fn try_new(secret: impl Into<Box<str>>) -> Result<Self, InvalidSecret> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        Self::checked(&secret.into(), fits, "visible ASCII except \" , ; \\")
    }

    /// Creates a secret that only signs, and so may have spaces and other characters.
    ///
    /// # Errors
    ///
    /// Returns an error if the secret is shorter than [`MIN_LENGTH`](Self::MIN_LENGTH) bytes, or
    /// has a control character.
    pub fn try_for_signing(secret: impl Into<Box<str>>) -> Result<Self, InvalidSecret> {
        Self::checked(&secret.into(), |byte| !byte.is_ascii_control(), "no control character")
    }

    fn checked(
        text: &str,
        fits: impl Fn(u8) -> bool,
        expected: &'static str,
    ) -> Result<Self, InvalidSecret> {
        let secret = without_line_break(text);
        if secret.len() < Self::MIN_LENGTH {
            return Err(InvalidSecret { cause: Cause::TooShort { length: secret.len() } });
        }
        match secret.bytes().position(|byte| !fits(byte)) {
            Some(index) => Err(InvalidSecret { cause: Cause::InvalidByte { index, expected } }),
            None => Ok(Self(secret.into())),
        }
    }

    /// Returns the bytes of the secret.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Removes one line break from the end of a text.
pub(crate) fn without_line_break(text: &str) -> &str {
    let line = text.strip_suffix('\n').unwrap_or(text);
    if line.len() < text.len() { line.strip_suffix('\r').unwrap_or(line) } else { line }
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        Self::try_new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The error for text that is not a [`Secret`]. Its message does not contain the secret.
#[derive(Clone, Eq, PartialEq)]
pub struct InvalidSecret {
    cause: Cause,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Cause {
    TooShort { length: usize },
    InvalidByte { index: usize, expected: &'static str },
}

impl fmt::Display for InvalidSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::TooShort { length } => {
                let min = Secret::MIN_LENGTH;
                write!(f, "secret of {length} bytes: expected at least {min}")
            }
            Cause::InvalidByte { index, expected } => {
                write!(f, "byte {index} of the secret: expected {expected}")
            }
        }
    }
}

crate::debug_as_display!(InvalidSecret);

impl error::Error for InvalidSecret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_break_at_the_end_is_not_a_part_of_the_secret() {
        for end in ["", "\n", "\r\n"] {
            let secret = Secret::try_new(format!("0123456789abcdef{end}")).unwrap();
            assert_eq!(secret.as_bytes(), b"0123456789abcdef", "{end:?}");
        }
        for end in ["\n\n", "\r", "\n\r", "\r\r\n", " \n", "\t", "\0"] {
            let error = Secret::try_new(format!("0123456789abcdef{end}")).unwrap_err();
            assert!(error.to_string().starts_with("byte 16 of the secret:"), "{end:?}: {error}");
        }
    }

    #[test]
    fn a_secret_that_only_signs_may_have_spaces_and_no_control_characters() {
        for text in ["correct horse battery", "correct horse battery\r\n"] {
            let secret = Secret::try_for_signing(text).unwrap();
            assert_eq!(secret.as_bytes(), b"correct horse battery");
        }
        for text in ["0123456789abcdef\n\n", "0123456789abcdef\t", "0123456789abcdef\u{7f}"] {
            let error = Secret::try_for_signing(text).unwrap_err().to_string();
            assert_eq!(error, "byte 16 of the secret: expected no control character");
        }
        assert!(Secret::try_for_signing("fifteen bytes a\n").is_err());
    }

    #[test]
    fn errors_and_debug_output_do_not_reveal_a_secret() {
        for (secret, message) in [
            ("short", "secret of 5 bytes: expected at least 16"),
            ("fifteen-bytes-a\n", "secret of 15 bytes: expected at least 16"),
            (
                "a secret with spaces",
                "byte 1 of the secret: expected visible ASCII except \" , ; \\",
            ),
            (
                "semicolon;semicolon",
                "byte 9 of the secret: expected visible ASCII except \" , ; \\",
            ),
        ] {
            assert_eq!(Secret::try_new(secret).unwrap_err().to_string(), message);
        }
        let secret = Secret::try_new("0123456789abcdef").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
