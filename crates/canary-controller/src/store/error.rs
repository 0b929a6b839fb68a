use std::error::Error;

/// The error of a store.
///
/// [`retry`](Self::retry) returns the appropriate reaction. The message names the operation; the
/// [source](Error::source) is the cause.
///
/// ```
/// use canary_controller::store::{Retry, StoreError};
///
/// let error = StoreError::unknown("swap /prod/v1/rollouts/checkout", "no answer in 2 s");
/// assert_eq!(error.retry(), Retry::AfterLoad);
/// assert_eq!(
///     error.to_string(),
///     "swap /prod/v1/rollouts/checkout: the outcome is unknown",
/// );
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store is unreachable or overloaded. Nothing was changed, and nothing will be.
    #[error("{operation}: the store is unavailable")]
    #[non_exhaustive]
    Unavailable {
        /// The operation that failed.
        operation: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The change may have been made, or may be made later: no response arrived in time, or the
    /// write may not be durable.
    ///
    /// Do not simply repeat a swap; use [`settle`](super::settle()). An append may be repeated.
    #[error("{operation}: the outcome is unknown")]
    #[non_exhaustive]
    Unknown {
        /// The operation that failed.
        operation: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The store rejects the operation until an operator changes a permission, a password or a
    /// setting. Nothing was changed.
    #[error("{operation}: refused by the store")]
    #[non_exhaustive]
    Refused {
        /// The operation that failed.
        operation: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The stored bytes are not a document. They are left unchanged for an operator to inspect, and
    /// no swap replaces them.
    #[error("{operation}: the stored bytes are not a document")]
    #[non_exhaustive]
    Corrupt {
        /// The operation that failed.
        operation: String,
        /// The location of the bytes and the reason why they are invalid.
        source: Box<dyn Error + Send + Sync>,
    },
}

canary_core::debug_as_display!(StoreError);

impl StoreError {
    /// Creates an [`Unavailable`](Self::Unavailable).
    #[must_use]
    pub fn unavailable(
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { operation: operation.into(), source: source.into() }
    }

    /// Creates an [`Unknown`](Self::Unknown).
    #[must_use]
    pub fn unknown(
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unknown { operation: operation.into(), source: source.into() }
    }

    /// Creates a [`Refused`](Self::Refused).
    #[must_use]
    pub fn refused(
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Refused { operation: operation.into(), source: source.into() }
    }

    /// Creates a [`Corrupt`](Self::Corrupt).
    #[must_use]
    pub fn corrupt(
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Corrupt { operation: operation.into(), source: source.into() }
    }

    /// Returns how to retry after this error.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } => Retry::Later,
            Self::Unknown { .. } => Retry::AfterLoad,
            Self::Refused { .. } | Self::Corrupt { .. } => Retry::Never,
        }
    }
}

/// How to retry after a [`StoreError`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Retry {
    /// Repeat the same operation later.
    Later,
    /// Load first, to find out whether the change was made.
    AfterLoad,
    /// A retry cannot succeed: an operator must act.
    Never,
}
