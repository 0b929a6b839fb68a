use std::fmt;

use canary_core::{CanaryName, ReleaseId};
use xxhash_rust::xxh64::Xxh64;

use crate::select::StickyKey;

/// The salt of the hash of sticky keys.
pub(crate) struct Salt {
    text: Box<str>,
    /// The state of the hash after the salt and a zero byte.
    state: Xxh64,
}

impl Salt {
    pub(crate) fn new(salt: &str) -> Self {
        let mut state = Xxh64::new(0);
        state.update(salt.as_bytes());
        state.update(&[0]);
        Self { text: salt.into(), state }
    }

    /// Returns the default salt: the name of the canary, a colon, and the release.
    pub(crate) fn of_release(canary: &CanaryName, release: Option<&ReleaseId>) -> Self {
        let release = release.map_or("", ReleaseId::as_str);
        Self::new(&format!("{canary}:{release}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn hash(&self, key: &[u8]) -> StickyKey {
        let mut state = self.state.clone();
        state.update(key);
        StickyKey::from_hash(state.digest())
    }
}

impl StickyKey {
    /// Hashes `key` for a canary with this salt: xxh64, seed 0, of the salt, a zero byte and the
    /// key.
    #[must_use]
    pub fn new(salt: &str, key: impl AsRef<[u8]>) -> Self {
        Salt::new(salt).hash(key.as_ref())
    }
}

impl PartialEq for Salt {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Salt").field(&self.text).finish()
    }
}
