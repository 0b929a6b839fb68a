use std::{fmt, hash::Hasher};

use canary_core::{CanaryName, ReleaseId, StickySecret};
use siphasher::sip::SipHasher24;
use xxhash_rust::xxh64::Xxh64;

use crate::select::StickyKey;

/// The salt of the hash of sticky keys, and the secret key of that hash, if it has one.
pub(crate) struct Salt {
    text: Box<str>,
    secret: Option<StickySecret>,
    /// The state of the hash after the salt and a zero byte.
    state: HashState,
}

#[derive(Clone)]
enum HashState {
    /// xxh64 with seed 0, which anyone can compute.
    Published(Xxh64),
    /// SipHash-2-4 with the secret as its key.
    Keyed(SipHasher24),
}

impl Salt {
    pub(crate) fn new(salt: &str, secret: Option<StickySecret>) -> Self {
        let mut state = secret.map_or_else(HashState::published, HashState::keyed);
        state.write(salt.as_bytes());
        state.write(&[0]);
        Self { text: salt.into(), secret, state }
    }

    /// Returns the default salt: the name of the canary, a colon, and the release.
    pub(crate) fn of_release(
        canary: &CanaryName,
        release: Option<&ReleaseId>,
        secret: Option<StickySecret>,
    ) -> Self {
        let release = release.map_or("", ReleaseId::as_str);
        Self::new(&format!("{canary}:{release}"), secret)
    }

    /// Returns the public part.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) const fn secret(&self) -> Option<StickySecret> {
        self.secret
    }

    pub(crate) fn hash(&self, key: &[u8]) -> StickyKey {
        let mut state = self.state.clone();
        state.write(key);
        StickyKey::from_hash(state.finish())
    }
}

impl HashState {
    const fn published() -> Self {
        Self::Published(Xxh64::new(0))
    }

    fn keyed(secret: StickySecret) -> Self {
        Self::Keyed(SipHasher24::new_with_key(secret.as_bytes()))
    }

    fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Published(state) => state.update(bytes),
            Self::Keyed(state) => state.write(bytes),
        }
    }

    fn finish(&self) -> u64 {
        match self {
            Self::Published(state) => state.digest(),
            Self::Keyed(state) => state.finish(),
        }
    }
}

impl StickyKey {
    /// Hashes `key` for a canary with this salt and the published hash: xxh64, seed 0, of the salt,
    /// a zero byte and the key.
    #[must_use]
    pub fn new(salt: &str, key: impl AsRef<[u8]>) -> Self {
        Salt::new(salt, None).hash(key.as_ref())
    }

    /// Hashes `key` for a canary with this salt and this secret: SipHash-2-4, keyed by the secret,
    /// of the salt, a zero byte and the key.
    ///
    /// ```
    /// use tower_canary::select::StickyKey;
    ///
    /// let secret = "000102030405060708090a0b0c0d0e0f".parse()?;
    /// let key = StickyKey::with_secret(secret, "checkout:1", "user-1");
    /// assert_ne!(key, StickyKey::new("checkout:1", "user-1"));
    /// # Ok::<(), tower_canary::select::InvalidStickySecret>(())
    /// ```
    #[must_use]
    pub fn with_secret(secret: StickySecret, salt: &str, key: impl AsRef<[u8]>) -> Self {
        Salt::new(salt, Some(secret)).hash(key.as_ref())
    }
}

impl PartialEq for Salt {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.secret == other.secret
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Salt")
            .field("text", &self.text)
            .field("has_secret", &self.secret.is_some())
            .finish()
    }
}
