use std::{fmt, sync::Arc};

use super::Document;

/// Which write of a key a document is of. Opaque: only a store makes sense of its own.
///
/// Two revisions are equal or not; there is no order. An engine that counts its writes gives the
/// count as text.
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
    /// For stores: the revision that is this text to the engine.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// For stores: the text it was made of.
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

/// A document and the revision it was read at.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a pair, which every store makes")]
pub struct Versioned {
    /// What a swap of this document has to expect.
    pub revision: Revision,
    /// What is stored.
    pub document: Document,
}

/// How a [`compare_and_swap`](super::StateStore::compare_and_swap) ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "a swap that met a conflict has stored nothing"]
#[expect(clippy::exhaustive_enums, reason = "a swap is made or not")]
pub enum Swap {
    /// The document is stored, under this revision.
    Done(Revision),
    /// Nothing is stored: this is there instead, or nothing is there.
    Conflict(Option<Versioned>),
}
