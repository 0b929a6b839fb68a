use std::error::Error;

/// Why a store did not do what it was operation.
///
/// [`retry`](Self::retry) says what to do about it. The message says what was operation, the
/// [source](Error::source) why it failed.
///
/// ```
/// use canary_controller::store::{Retry, StoreError};
///
/// let error = StoreError::unknown("swap /prod/v1/rollouts/checkout", "no answer in 2 s");
/// assert_eq!(error.retry(), Retry::AfterLoad);
/// assert_eq!(
///     error.to_string(),
///     "swap /prod/v1/rollouts/checkout: it is unknown whether this was done",
/// );
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store is out of reach or busy. Nothing was changed, and nothing will be.
    #[error("{operation}: the store is out of reach")]
    #[non_exhaustive]
    Unavailable {
        /// What was operation of the store.
        operation: String,
        /// Why it failed.
        source: Box<dyn Error + Send + Sync>,
    },

    /// It is unknown whether a change was made, or still will be: no answer came in time, or what
    /// was written may not survive.
    ///
    /// Never repeat a swap blindly: see [`settle`](super::settle()). An append may be repeated.
    #[error("{operation}: it is unknown whether this was done")]
    #[non_exhaustive]
    Unknown {
        /// What was operation of the store.
        operation: String,
        /// Why it is unknown.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The store will not do this until a person changes something: a permission, a password, an
    /// option. Nothing was changed.
    #[error("{operation}: the store refuses this")]
    #[non_exhaustive]
    Refused {
        /// What was operation of the store.
        operation: String,
        /// Why it was refused.
        source: Box<dyn Error + Send + Sync>,
    },

    /// What is stored is no document. It stays as it is, for a person to look at, and no swap
    /// replaces it. Nothing was changed.
    #[error("{operation}: what is stored there is no document")]
    #[non_exhaustive]
    Corrupt {
        /// What was operation of the store.
        operation: String,
        /// Where it is, and what is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StoreError {
    /// Makes an [`Unavailable`](Self::Unavailable).
    #[must_use]
    pub fn unavailable(
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { operation: operation.into(), source: source.into() }
    }

    /// Makes an [`Unknown`](Self::Unknown).
    #[must_use]
    pub fn unknown(
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unknown { operation: operation.into(), source: source.into() }
    }

    /// Makes a [`Refused`](Self::Refused).
    #[must_use]
    pub fn refused(
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Refused { operation: operation.into(), source: source.into() }
    }

    /// Makes a [`Corrupt`](Self::Corrupt).
    #[must_use]
    pub fn corrupt(
        operation: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Corrupt { operation: operation.into(), source: source.into() }
    }

    /// What helps.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Unavailable { .. } => Retry::Later,
            Self::Unknown { .. } => Retry::AfterLoad,
            Self::Refused { .. } | Self::Corrupt { .. } => Retry::Never,
        }
    }

    /// The message and those of its causes, on one line.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// What helps against a [`StoreError`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Retry {
    /// To ask the same again, later.
    Later,
    /// To load first, and see whether it was done.
    AfterLoad,
    /// Nothing that a program can do.
    Never,
}
