use std::{fmt, sync::Arc};

use super::{Document, StoreError, StoreKey};

/// An opaque identifier of one write to a key.
///
/// Revisions can be compared for equality; they have no order. A store whose engine counts writes
/// uses the count as text.
///
/// ```
/// use canary_controller::store::Revision;
///
/// let revision = Revision::new("1042");
/// assert_eq!(revision.as_str(), "1042");
/// assert_ne!(revision, Revision::new("1043"));
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Revision(Arc<str>);

impl Revision {
    /// Creates a revision from the engine's representation. For store implementations.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the engine's representation. For store implementations.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A document and its revision.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "store implementations construct it")]
pub struct Versioned {
    /// The revision that a swap of this document must expect.
    pub revision: Revision,
    /// The stored document.
    pub document: Document,
}

/// The result of a [`compare_and_swap`](super::StateStore::compare_and_swap).
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "a swap that ends in a conflict has stored nothing"]
#[expect(clippy::exhaustive_enums, reason = "a swap succeeds or conflicts")]
pub enum Swap {
    /// The document was stored, under this revision.
    Done(Revision),
    /// Nothing was stored. Contains the current document, or `None` if the key has none.
    Conflict(Option<Versioned>),
}

/// The result of a [`remove`](super::StateStore::remove).
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "a removal that ends in a conflict has removed nothing"]
#[expect(clippy::exhaustive_enums, reason = "a removal succeeds or conflicts")]
pub enum Removal {
    /// The document was removed.
    Done,
    /// Nothing was removed. Contains the current document, or `None` if the key has none.
    Conflict(Option<Versioned>),
}

/// A key that has a document: an element of a [`list`](super::StateStore::list).
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "store implementations construct it")]
pub struct Listed {
    /// The key.
    pub key: StoreKey,
    /// The document, or the error of this key alone: [`Corrupt`](StoreError::Corrupt) if the stored
    /// bytes are none, or [`Refused`](StoreError::Refused).
    pub document: Result<Versioned, StoreError>,
}
