use canary_core::Weight;
use canary_rollout::fleet::{BoardSign, FleetCounts};
use serde::{Deserialize, Serialize};

use crate::{
    compact::{self, Compact},
    driver::{
        attempt_id::AttemptId,
        document_error::{DocumentError, write},
        watched_keys::BoardKeys,
    },
    store::Document,
};

/// The document of one replica.
#[derive(Deserialize, Serialize)]
pub(super) struct BoardEntry {
    #[serde(flatten)]
    pub(super) sign: BoardSign,
    #[serde(flatten)]
    pub(super) attempt: AttemptId,
    pub(super) counts: Compact<FleetCounts>,
    /// The new keys, for monitors per key.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "compact")]
    pub(super) keys: Option<BoardKeys>,
}

impl BoardEntry {
    /// Serializes the entry. Makes it smaller until it fits into a document.
    pub(super) fn write(self, current: Weight) -> Result<(Self, Document), DocumentError> {
        match write(&self) {
            Ok(document) => Ok((self, document)),
            Err(error) => match self.smaller(current) {
                Some(smaller) => smaller.write(current),
                None => Err(error),
            },
        }
    }

    /// Returns the entry without counts and keys.
    pub(super) fn to_head(&self) -> Self {
        let (sign, attempt) = (self.sign.clone(), self.attempt.clone());
        Self { sign, attempt, counts: Compact::default(), keys: None }
    }

    /// Returns a smaller entry, as [smaller evidence](crate::driver::stored_evidence::StoredEvidence::smaller):
    /// with half of the weights before the `current` one closed, or, if all of them are, with half of
    /// the keys. Returns `None` if there is nothing to leave out.
    fn smaller(mut self, current: Weight) -> Option<Self> {
        let closing = self.counts.earlier_half(current);
        if closing.is_empty() {
            self.keys = Some(self.keys?.halved()?);
        } else {
            let mut counts = self.counts.into_inner();
            counts.close(&closing);
            self.counts = counts.into();
            self.sign.closed.extend(&closing);
        }
        Some(self)
    }
}
