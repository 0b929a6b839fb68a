use std::{fmt, ops::Deref};

use canary_core::{CanaryName, Weight};

use crate::{
    control::epoch_settings::EpochSettings,
    select::{RequestHead, StickyKey},
};

/// The input of a policy: the head of the request and the settings of the canary.
///
/// It dereferences to [`RequestHead`], which has the method, the path, the headers, the cookies and
/// the extensions.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    head: RequestHead<'a>,
    canary: &'a CanaryName,
    settings: &'a EpochSettings,
}

impl<'a> Incoming<'a> {
    pub(crate) const fn new(
        head: RequestHead<'a>,
        canary: &'a CanaryName,
        settings: &'a EpochSettings,
    ) -> Self {
        Self { head, canary, settings }
    }

    /// Returns the name of the canary.
    #[must_use]
    pub const fn canary(&self) -> &'a CanaryName {
        self.canary
    }

    /// Returns the weight in force.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.settings.weight
    }

    /// Hashes a key with the canary's salt, for
    /// [`Selection::sticky`](crate::select::Selection::sticky).
    ///
    /// Returns `None` if the key is empty or longer than [`StickyKey::MAX_LENGTH`] bytes. The bytes
    /// need not be UTF-8.
    #[must_use]
    pub fn sticky_key(&self, key: impl AsRef<[u8]>) -> Option<StickyKey> {
        let key = key.as_ref();
        (1..=StickyKey::MAX_LENGTH).contains(&key.len()).then(|| self.settings.salt.hash(key))
    }
}

impl<'a> Deref for Incoming<'a> {
    type Target = RequestHead<'a>;

    fn deref(&self) -> &RequestHead<'a> {
        &self.head
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("head", &self.head)
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}
