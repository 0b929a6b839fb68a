use std::time::Duration;

use tokio::time::timeout;

use crate::store::{CALL_DEADLINE, Document, Retry, StoreError};

/// The error of loading or saving a document.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the document {path} is not a rollout: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("the document does not fit the store: {0}")]
    Unfit(String),
}

impl DocumentError {
    /// Returns whether the document may have been stored.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self, Self::Store(error) if error.retry() == Retry::AfterLoad)
    }

    /// Returns whether a retry would fail in the same way.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Store(error) => error.retry() == Retry::Never,
            Self::Unreadable { .. } | Self::Unfit(_) => true,
        }
    }

    pub(super) fn unfit(error: impl std::fmt::Display) -> Self {
        Self::Unfit(error.to_string())
    }
}

/// Limits the time of a call, so that a store that breaks its contract cannot block the driver.
pub(super) async fn with_timeout<T>(
    operation: String,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(CALL_TIMEOUT, call)
        .await
        .unwrap_or_else(|elapsed| Err(StoreError::unavailable(operation, elapsed)))
}

/// Limits the time of a change. If it is exceeded, the change may have been made.
pub(super) async fn with_change_timeout<T>(
    operation: String,
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, call)
        .await
        .unwrap_or_else(|elapsed| Err(StoreError::unknown(operation, elapsed)))
}

pub(super) fn write(document: &impl serde::Serialize) -> Result<Document, DocumentError> {
    Document::try_new(to_json(document)).map_err(DocumentError::unfit)
}

fn to_json(document: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(document)
        .expect("the keys of all maps are strings, and writing to memory cannot fail")
}

/// A little more than the time that a store has for a call.
pub(super) const CALL_TIMEOUT: Duration = CALL_DEADLINE.saturating_add(Duration::from_millis(500));
