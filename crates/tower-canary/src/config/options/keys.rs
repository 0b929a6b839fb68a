//! The options that concern the keys of callers.

use super::CanaryOptions;
use crate::{
    counting::key_shares::KeyCap,
    select::{Incoming, StickyHash, StickyKey},
};

impl CanaryOptions {
    /// Sets the hash that assigns [sticky](crate::select::Sticky) keys to channels.
    ///
    /// ```
    /// use tower_canary::{CanaryOptions, select::StickyHash};
    ///
    /// // From your configuration: `openssl rand -hex 16`.
    /// let secret = "6b1d0c5a9e784b3f8d2e71c4a5b60938".parse()?;
    /// let options = CanaryOptions::new().sticky_hash(StickyHash::with_secret(secret));
    /// # let _ = options;
    /// # Ok::<(), tower_canary::select::InvalidStickySecret>(())
    /// ```
    pub const fn sticky_hash(mut self, hash: StickyHash) -> Self {
        self.sticky_hash = hash;
        self
    }

    /// Sets how to identify the caller of a call that is not sticky, to bound
    /// [its part of the evidence](Self::evidence_per_key). The call is still assigned at random.
    ///
    /// The function calls [`Incoming::sticky_key`](crate::select::Incoming::sticky_key) with
    /// something that a caller cannot change at will, such as an account, an API key or an address.
    /// Sticky calls have their key already.
    ///
    /// ```
    /// use tower_canary::CanaryOptions;
    ///
    /// #[derive(Clone)]
    /// struct ApiKey(String); // set in the extensions by the layer that authenticates
    ///
    /// let options = CanaryOptions::new()
    ///     .caller_key(|request| request.sticky_key(&request.extensions().get::<ApiKey>()?.0));
    /// # let _ = options;
    /// ```
    pub fn caller_key(
        mut self,
        key: impl Fn(&Incoming<'_>) -> Option<StickyKey> + Send + Sync + 'static,
    ) -> Self {
        self.caller_key = Some(Box::new(key));
        self
    }

    /// Sets the largest part of the evidence that the calls of one key may make; 0.05 by default,
    /// and 1.0 for no limit.
    ///
    /// The further calls of a key that has made this part are still assigned as all others, but are
    /// not evidence: their reason is [`Capped`](crate::AssignmentReason::Capped). So a single bot,
    /// health checker or attacker cannot outweigh all other callers. The part is of the calls with a
    /// key, for each weight and each thread's shard of the counts.
    ///
    /// The first 20 calls of a key always count. With fewer than 40 keys, a key may make twice an
    /// equal part: with 10 keys, a fifth. With one or two keys nothing is capped, and the verdict
    /// rests on them. A caller with many keys may make this part with each of them.
    ///
    /// Monitors that count by keys count a key once, however many calls it makes, and so include its
    /// capped calls.
    ///
    /// # Panics
    ///
    /// Panics if `part` is not above 0 and at most 1.
    pub fn evidence_per_key(mut self, part: f64) -> Self {
        self.key_cap = KeyCap::try_new(part).unwrap_or_else(|| {
            panic!("evidence per key is {part}: expected a part above 0 and at most 1")
        });
        self
    }
}
