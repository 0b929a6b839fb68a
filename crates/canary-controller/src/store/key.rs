use std::{fmt, sync::Arc};

use canary_core::CanaryName;

/// The key of a document: `/{prefix}/v1/{kind}/{name}`.
///
/// The prefix separates environments, teams or services that share a store. It has 1 to 63
/// characters: words of `a-z`, `0-9` and `-`, separated by single `/`. The kind is `rollouts` for
/// the rollout of a canary, and `evidence` for its evidence. The name is the canary's. On the board of
/// a canary, the kind is `board/{canary}`, and the name is that of a replica. Keys contain neither `.`
/// nor `_`, and no engine requires them to be escaped.
///
/// Keys with different prefixes, kinds or names are different, whatever words the prefixes contain.
///
/// ```
/// use canary_controller::store::StoreKey;
///
/// let key = StoreKey::try_new("prod/shop", &"checkout".parse()?)?;
/// assert_eq!(key.as_str(), "/prod/shop/v1/rollouts/checkout");
/// assert_eq!(key.evidence().as_str(), "/prod/shop/v1/evidence/checkout");
/// let entry = key.board().key(&"00000000deadbeef".parse()?);
/// assert_eq!(entry.as_str(), "/prod/shop/v1/board/checkout/00000000deadbeef");
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
    /// Creates the key of a canary's rollout. It is the key from which those of its other documents
    /// are made.
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

    /// Returns the key of a [local copy](crate::Controller::copies) of the rollout.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::new(self.prefix(), COPY, self.name())
    }

    /// Returns the keys of the board of the same canary: one for each replica.
    #[must_use]
    pub fn board(&self) -> KeyRange {
        KeyRange::of_kind(self.prefix(), &format!("{BOARD}{}/", self.name()))
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

    /// Returns the last part: the name of the canary, or of the replica on a board.
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
    prefix_len: usize,
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

    fn new(prefix: &str, kind: &str) -> Result<Self, InvalidPrefix> {
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(is_allowed);
        if prefix.len() > 63 || !prefix.split('/').all(is_word) {
            return Err(InvalidPrefix(prefix.to_owned()));
        }
        Ok(Self::of_kind(prefix, kind))
    }

    fn of_kind(prefix: &str, kind: &str) -> Self {
        Self { text: format!("/{prefix}{kind}").into(), prefix_len: prefix.len() }
    }

    /// Returns the text with which all keys of the range begin. A name, which has no `/`, follows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the key with this name.
    #[must_use]
    pub fn key(&self, name: &CanaryName) -> StoreKey {
        let (prefix, kind) = self.text[1..].split_at(self.prefix_len);
        StoreKey::new(prefix, kind, name.as_str())
    }

    /// Returns a bound that is below all keys of the range, and above those that come before it.
    pub(super) fn first(&self) -> StoreKey {
        StoreKey { text: Arc::clone(&self.text), prefix_len: 0, name_len: 0 }
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
const COPY: &str = "/v1/copies/";
const BOARD: &str = "/v1/board/";

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
            .flat_map(|key| [key.evidence(), key.board().key(&name), key])
            .collect();
        assert_eq!(keys.len(), 3 * prefixes.len(), "{keys:?}");
    }

    #[test]
    fn a_range_contains_the_keys_of_its_prefix_and_kind_only() {
        let name = "checkout".parse().unwrap();
        let key = StoreKey::try_new("a", &name).unwrap();
        let range = KeyRange::rollouts("a").unwrap();
        assert!(range.contains(&key));
        assert!(!range.contains(&key.evidence()));
        assert!(KeyRange::evidence("a").unwrap().contains(&key.evidence()));
        let board = key.board();
        assert!(board.contains(&board.key(&name)));
        assert_eq!(board.key(&name).prefix(), "a");
        for key in [&key, &key.evidence()] {
            assert!(!board.contains(key), "{key}");
            assert!(!range.contains(&board.key(&name)) && !board.contains(key));
        }
        let other = StoreKey::try_new("a", &"checkout-2".parse().unwrap()).unwrap();
        assert!(!board.contains(&other.board().key(&name)));
        for prefix in ["b", "aa", "a/b", "a/v1/rollouts"] {
            assert!(!range.contains(&StoreKey::try_new(prefix, &name).unwrap()), "{prefix}");
        }
    }
}
