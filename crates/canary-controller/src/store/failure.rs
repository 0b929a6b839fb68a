use std::fmt;

use canary_rollout::Timestamp;

/// An operation on the store that fails now. It prints as one sentence with the error and the
/// document.
///
/// ```text
/// the store cannot be written: swap /default/v1/rollouts/shop: the store is unavailable:
/// /var/lib/shop/default.v1.rollouts.shop.json.tmp: No space left on device (os error 28)
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoreFailure {
    /// The operation.
    pub operation: StoreOperation,
    /// The place of the document, see [`StateStore::location`](super::StateStore::location).
    pub path: String,
    /// The latest error, with its causes.
    pub error: String,
    /// The time of the first failure since the operation last succeeded.
    pub since: Timestamp,
}

/// A kind of operation on the store.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum StoreOperation {
    /// Loads a document, and finds in it what it should contain.
    Read,
    /// Stores a document.
    Write,
    /// Waits for the changes of other replicas.
    Watch,
    /// Appends events to the history.
    History,
}

impl StoreOperation {
    /// All operations.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Watch, Self::History];

    /// Returns the operation in one word, such as "read".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Watch => "watch",
            Self::History => "history",
        }
    }
}

impl fmt::Display for StoreOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.operation {
            StoreOperation::Read => "the store cannot be read: ",
            StoreOperation::Write => "the store cannot be written: ",
            StoreOperation::Watch => "the store cannot be watched: ",
            StoreOperation::History => "the history cannot be stored: ",
        })?;
        if !self.error.contains(&self.path) {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.error)
    }
}
