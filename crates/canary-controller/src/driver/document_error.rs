use crate::store::{Document, Retry, StoreError};

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

pub(super) fn write(document: &impl serde::Serialize) -> Result<Document, DocumentError> {
    let json = serde_json::to_vec(document).map_err(DocumentError::unfit)?;
    Document::try_new(json).map_err(DocumentError::unfit)
}
