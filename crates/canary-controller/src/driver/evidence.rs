use std::{sync::Arc, time::Duration};

use canary_analysis::Baseline;
use canary_core::Weight;
use canary_rollout::{
    Rollout,
    replica::{EvidenceSwapped, ReplicaId},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    driver::{
        attempt_id::AttemptId,
        document_error::{DocumentError, write},
        stored_evidence::StoredEvidence,
    },
    error_chain::with_causes,
    store::{
        Document, DocumentWatch, Revision, Settled, StateStore, StoreError, StoreKey, Versioned,
        WatchEvent, settle,
    },
};

/// The document of the evidence in the store. Only compare-and-swap changes it, and only the replica
/// that drives the rollout, or replaces its driver, does so.
pub(super) struct EvidenceDocument {
    store: Arc<dyn StateStore>,
    key: StoreKey,
    /// The place of the document, for messages.
    pub(super) path: String,
    me: ReplicaId,
    revision: Option<Revision>,
    latest: Option<EvidenceRecord>,
    /// The reason why the latest known document is not evidence.
    fault: Option<String>,
    /// The time at which this replica has seen the latest known document.
    changed: Instant,
}

/// The state of the judge, with the replica that judges. Both are stored in one swap, so that
/// another replica can continue exactly there.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct EvidenceRecord {
    /// The driver; `None` if it has stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    driver: Option<ReplicaId>,
    /// The number of saves. It makes each save of a silent plan differ from the one before.
    beat: u64,
    #[serde(flatten)]
    attempt: AttemptId,
    evidence: StoredEvidence,
}

impl EvidenceDocument {
    pub(super) fn new(store: Arc<dyn StateStore>, key: StoreKey, me: ReplicaId) -> Self {
        let path = store.location(&key);
        let (revision, latest, fault) = (None, None, None);
        Self { store, key, path, me, revision, latest, fault, changed: Instant::now() }
    }

    pub(super) fn watch(&self) -> DocumentWatch {
        self.store.watch(&self.key)
    }

    /// Returns the driver that the latest known document names.
    pub(super) fn driver(&self) -> Option<ReplicaId> {
        self.latest.as_ref()?.driver.clone()
    }

    /// Returns the evidence of a rollout's attempt, if the latest known document has it.
    pub(super) fn of(&self, rollout: &Rollout) -> Option<&StoredEvidence> {
        let record = self.latest.as_ref()?;
        (record.attempt == AttemptId::of(rollout)).then_some(&record.evidence)
    }

    /// Returns what the judge of the latest known document knew about stable, of whichever attempt.
    pub(super) fn baseline(&self) -> Option<Baseline> {
        Some(self.latest.as_ref()?.evidence.baseline())
    }

    /// Returns whether a watch has reported another document than the latest known one.
    pub(super) fn is_news(&self, event: &WatchEvent) -> bool {
        match event {
            WatchEvent::Value(found) => self.revision.as_ref() != Some(&found.revision),
            WatchEvent::Absent => self.revision.is_some(),
            WatchEvent::Stale { .. } | WatchEvent::Fresh => false,
        }
    }

    /// Loads the document. Returns whether it has changed. A corrupt document counts as none, with a
    /// [fault](Self::fault), and is kept for inspection: without its revision it is not replaced.
    pub(super) async fn load(&mut self) -> Result<bool, StoreError> {
        let (found, corrupt) = match self.store.load(&self.key).await {
            Err(error @ StoreError::Corrupt { .. }) => (None, Some(with_causes(&error))),
            other => (other?, None),
        };
        let before = self.revision.clone();
        self.set_base(found);
        self.fault = corrupt.or(self.fault.take());
        Ok(self.revision != before)
    }

    /// Returns the reason why the latest known document is not evidence. The judge begins without it.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Returns the time since the document has changed, as far as this replica knows.
    pub(super) fn age(&self) -> Duration {
        self.changed.elapsed()
    }

    fn set_base(&mut self, found: Option<Versioned>) {
        let revision = found.as_ref().map(|found| &found.revision);
        if revision != self.revision.as_ref() {
            self.changed = Instant::now();
        }
        let record = found.as_ref().map(|it| serde_json::from_str(it.document.as_str()));
        (self.latest, self.fault) = match record.transpose() {
            Ok(record) => (record, None),
            Err(error) => (None, Some(format!("the document is not evidence: {error}"))),
        };
        self.revision = found.map(|found| found.revision);
    }

    /// Replaces the latest known document by the evidence, with this replica as the driver.
    pub(super) async fn save(
        &mut self,
        evidence: StoredEvidence,
        rollout: &Rollout,
    ) -> Result<EvidenceSwapped, DocumentError> {
        self.swap(evidence, rollout, Some(self.me.clone())).await
    }

    /// Saves the evidence without a driver, so that another replica can continue at once.
    pub(super) async fn release(
        &mut self,
        evidence: StoredEvidence,
        rollout: &Rollout,
    ) -> Result<EvidenceSwapped, DocumentError> {
        self.swap(evidence, rollout, None).await
    }

    async fn swap(
        &mut self,
        evidence: StoredEvidence,
        rollout: &Rollout,
        driver: Option<ReplicaId>,
    ) -> Result<EvidenceSwapped, DocumentError> {
        let beat = self.latest.as_ref().map_or(0, |latest| latest.beat).wrapping_add(1);
        let attempt = AttemptId::of(rollout);
        let (record, document) =
            write_evidence(EvidenceRecord { driver, beat, attempt, evidence }, rollout.weight())?;
        // The second attempt is for a document that was removed.
        for _ in 0..2 {
            let expected = self.revision.as_ref();
            match settle(&*self.store, &self.key, expected, &document, |_| false).await? {
                Settled::Done(revision) => {
                    (self.revision, self.latest) = (Some(revision), Some(record));
                    self.fault = None;
                    self.changed = Instant::now();
                    return Ok(EvidenceSwapped::Done);
                }
                Settled::Conflict(None) => self.set_base(None),
                Settled::Conflict(Some(found)) | Settled::Overtaken(found) => {
                    self.set_base(Some(found));
                    return Ok(EvidenceSwapped::Conflict(self.driver()));
                }
            }
        }
        Ok(EvidenceSwapped::Conflict(None))
    }
}

/// Serializes evidence. Makes it smaller until it fits into a document.
fn write_evidence(
    record: EvidenceRecord,
    current: Weight,
) -> Result<(EvidenceRecord, Document), DocumentError> {
    match write(&record) {
        Ok(document) => Ok((record, document)),
        Err(error) => match record.evidence.smaller(current) {
            Some(evidence) => write_evidence(EvidenceRecord { evidence, ..record }, current),
            None => Err(error),
        },
    }
}

/// Returns the result of a save of the evidence for the state machine.
pub(super) fn to_input(saved: &Result<EvidenceSwapped, DocumentError>) -> EvidenceSwapped {
    match saved {
        Ok(saved) => saved.clone(),
        Err(error) if error.is_permanent() => EvidenceSwapped::Impossible,
        Err(error) => {
            let causes = with_causes(error);
            EvidenceSwapped::Failed(format!("the evidence could not be stored: {causes}"))
        }
    }
}
