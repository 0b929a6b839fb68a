use std::{fmt, sync::Arc};

use canary_core::CanaryName;

/// The key of a canary's rollout in a store: `/{prefix}/v1/rollouts/{name}`.
///
/// The prefix separates environments, teams or services that share a store. It has 1 to 63
/// characters: words of `a-z`, `0-9` and `-`, separated by single `/`. Keys contain neither `.` nor
/// `_`, and no engine requires them to be escaped.
///
/// ```
/// use canary_controller::store::StoreKey;
///
/// let key = StoreKey::try_new("prod/shop", &"checkout".parse()?)?;
/// assert_eq!(key.as_str(), "/prod/shop/v1/rollouts/checkout");
/// assert_eq!(
///     StoreKey::try_new("../etc", &"checkout".parse()?).unwrap_err().to_string(),
///     r#"key prefix "../etc": expected 1 to 63 characters, words of a-z, 0-9 and '-' between '/'"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StoreKey {
    text: Arc<str>,
    prefix_len: usize,
}

impl StoreKey {
    /// Creates the key of a canary's rollout.
    ///
    /// # Errors
    ///
    /// Returns an error if the prefix is invalid.
    pub fn try_new(prefix: &str, name: &CanaryName) -> Result<Self, InvalidPrefix> {
        Self::check_prefix(prefix)?;
        Ok(Self { text: format!("/{prefix}{KIND}{name}").into(), prefix_len: prefix.len() })
    }

    pub(crate) fn check_prefix(prefix: &str) -> Result<(), InvalidPrefix> {
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_allowed);
        if prefix.len() > 63 || !prefix.split('/').all(is_word) {
            return Err(InvalidPrefix(prefix.to_owned()));
        }
        Ok(())
    }

    /// Returns the whole key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the prefix: the part before `/v1`, without the leading `/`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.text[1..=self.prefix_len]
    }

    /// Returns the canary's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[1 + self.prefix_len + KIND.len()..]
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// The error for an invalid prefix of a [`StoreKey`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("key prefix {0:?}: expected 1 to 63 characters, words of a-z, 0-9 and '-' between '/'")]
pub struct InvalidPrefix(String);

const KIND: &str = "/v1/rollouts/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_that_would_need_escaping_are_rejected() {
        let name = "checkout".parse().unwrap();
        for prefix in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "a/../b",
            "A",
            "a b",
            "a.b",
            "a_b",
            "a\\b",
            "a\0",
            "a\n",
            "é",
            "%2e",
            "a:b",
            &"a".repeat(64),
        ] {
            let message = StoreKey::try_new(prefix, &name).unwrap_err().to_string();
            assert!(message.contains(&format!("{prefix:?}")), "{message}");
        }
    }

    #[test]
    fn a_key_returns_its_prefix_and_name() {
        let longest = "a".repeat(63);
        for prefix in ["prod", "prod/shop", "a/v1/rollouts", &longest] {
            let key = StoreKey::try_new(prefix, &"checkout".parse().unwrap()).unwrap();
            assert_eq!((key.prefix(), key.name()), (prefix, "checkout"));
            assert_eq!(key.to_string(), format!("/{prefix}/v1/rollouts/checkout"));
        }
    }
}
