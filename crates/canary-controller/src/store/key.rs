use std::{fmt, sync::Arc};

use canary_core::CanaryName;

/// The key of a document: `/{prefix}/v1/{kind}/{name}`.
///
/// The prefix separates environments, teams or services that share a store. It has 1 to 63
/// characters: words of `a-z`, `0-9` and `-`, separated by single `/`. The kind is `rollouts` for
/// the rollout of a canary, and `evidence` for its evidence. The name is the canary's. Keys contain
/// neither `.` nor `_`, and no engine requires them to be escaped.
///
/// Keys with different prefixes, kinds or names are different, whatever words the prefixes contain.
///
/// ```
/// use canary_controller::store::StoreKey;
///
/// let key = StoreKey::try_new("prod/shop", &"checkout".parse()?)?;
/// assert_eq!(key.as_str(), "/prod/shop/v1/rollouts/checkout");
/// assert_eq!(key.evidence().as_str(), "/prod/shop/v1/evidence/checkout");
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
    name_len: usize,
}

impl StoreKey {
    /// Creates the key of a canary's rollout.
    ///
    /// # Errors
    ///
    /// Returns an error if the prefix is invalid.
    pub fn try_new(prefix: &str, name: &CanaryName) -> Result<Self, InvalidPrefix> {
        Ok(KeyRange::rollouts(prefix)?.key(name))
    }

    /// Returns the key of the evidence of the same canary.
    #[must_use]
    pub fn evidence(&self) -> Self {
        Self::new(self.prefix(), EVIDENCE, self.name())
    }

    fn new(prefix: &str, kind: &str, name: &str) -> Self {
        let text = format!("/{prefix}{kind}{name}").into();
        Self { text, prefix_len: prefix.len(), name_len: name.len() }
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
        &self.text[self.text.len() - self.name_len..]
    }
}

impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// All keys with one prefix and one kind: the argument of [`StateStore::list`].
///
/// ```
/// use canary_controller::store::{KeyRange, StoreKey};
///
/// let range = KeyRange::rollouts("prod")?;
/// assert_eq!(range.as_str(), "/prod/v1/rollouts/");
/// let name = "checkout".parse()?;
/// assert_eq!(range.key(&name), StoreKey::try_new("prod", &name)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`StateStore::list`]: super::StateStore::list
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct KeyRange {
    text: Arc<str>,
    prefix: Arc<str>,
    kind: &'static str,
}

impl KeyRange {
    /// Returns the keys of the rollouts of a prefix.
    ///
    /// # Errors
    ///
    /// Returns an error if the prefix is invalid.
    pub fn rollouts(prefix: &str) -> Result<Self, InvalidPrefix> {
        Self::new(prefix, ROLLOUTS)
    }

    /// Returns the keys of the evidence of a prefix.
    ///
    /// # Errors
    ///
    /// Returns an error if the prefix is invalid.
    pub fn evidence(prefix: &str) -> Result<Self, InvalidPrefix> {
        Self::new(prefix, EVIDENCE)
    }

    fn new(prefix: &str, kind: &'static str) -> Result<Self, InvalidPrefix> {
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_allowed);
        if prefix.len() > 63 || !prefix.split('/').all(is_word) {
            return Err(InvalidPrefix(prefix.to_owned()));
        }
        Ok(Self { text: format!("/{prefix}{kind}").into(), prefix: prefix.into(), kind })
    }

    /// Returns the text with which all keys of the range begin. The name of a canary, which has no
    /// `/`, follows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the key with this name.
    #[must_use]
    pub fn key(&self, name: &CanaryName) -> StoreKey {
        StoreKey::new(&self.prefix, self.kind, name.as_str())
    }

    /// Returns whether the key is in the range.
    #[must_use]
    pub fn contains(&self, key: &StoreKey) -> bool {
        key.as_str().len() == self.text.len() + key.name().len()
            && key.as_str().starts_with(self.as_str())
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// The error for an invalid prefix of a [`StoreKey`].
#[derive(Clone, Eq, PartialEq, thiserror::Error)]
#[error("key prefix {0:?}: expected 1 to 63 characters, words of a-z, 0-9 and '-' between '/'")]
pub struct InvalidPrefix(String);

canary_core::debug_as_display!(InvalidPrefix);

const ROLLOUTS: &str = "/v1/rollouts/";
const EVIDENCE: &str = "/v1/evidence/";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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

    #[test]
    fn keys_of_different_kinds_are_different() {
        let name = "checkout".parse().unwrap();
        let prefixes = ["a", "a/evidence", "a/rollouts", "a/v1/evidence", "a/v1/rollouts/v1"];
        let keys: BTreeSet<_> = prefixes
            .iter()
            .map(|prefix| StoreKey::try_new(prefix, &name).unwrap())
            .flat_map(|key| [key.evidence(), key])
            .collect();
        assert_eq!(keys.len(), 2 * prefixes.len(), "{keys:?}");
    }

    #[test]
    fn a_range_contains_the_keys_of_its_prefix_and_kind_only() {
        let name = "checkout".parse().unwrap();
        let key = StoreKey::try_new("a", &name).unwrap();
        let range = KeyRange::rollouts("a").unwrap();
        assert!(range.contains(&key));
        assert!(!range.contains(&key.evidence()));
        assert!(KeyRange::evidence("a").unwrap().contains(&key.evidence()));
        for prefix in ["b", "aa", "a/b", "a/v1/rollouts"] {
            assert!(!range.contains(&StoreKey::try_new(prefix, &name).unwrap()), "{prefix}");
        }
    }
}
