use std::{sync::Arc, time::Duration};

use canary_core::Weight;
use canary_rollout::{Relation, Rollout, event::EventId, replica::Input};
use tokio::time::Instant;

use crate::{
    driver::{
        document_error::{DocumentError, write},
        documents::read_rollout,
        own_document::OwnDocument,
        patient_store::PatientStore,
        run::Driver,
    },
    error_chain::with_causes,
    store::{StateStore, StoreKey, StoreOperation},
};

/// A copy of the rollout in force, in a store of this machine: a process that starts while the shared
/// store is away begins with it. Processes of this machine replace the copies of each other.
pub(super) struct LocalCopy {
    store: Arc<PatientStore>,
    document: OwnDocument,
    path: String,
    /// Whether it is known if there is a copy of an earlier process.
    is_taken: bool,
    /// What identifies the rollout that was last kept.
    kept: Option<(Option<EventId>, Weight)>,
    /// No call is made before. A disk that hangs must not delay each tick.
    try_at: Instant,
}

impl LocalCopy {
    pub(super) fn new(store: Arc<dyn StateStore>, key: StoreKey) -> Self {
        let path = store.location(&key);
        let store = Arc::new(PatientStore::new(store));
        let document = OwnDocument::new(Arc::clone(&store) as _, key);
        Self { store, document, path, is_taken: false, kept: None, try_at: Instant::now() }
    }

    /// Returns whether a call may be made.
    fn is_ready(&self) -> bool {
        let is_ready = Instant::now() >= self.try_at;
        if is_ready {
            self.store.try_again();
        }
        is_ready
    }

    /// Makes no further call for some time after a failure.
    fn note<T, E>(&mut self, result: &Result<T, E>) {
        if result.is_err() {
            self.try_at = Instant::now() + RETRY_INTERVAL;
        }
    }

    /// Returns the copy of an earlier process, if there is one.
    async fn take(&mut self) -> Result<Option<Rollout>, DocumentError> {
        let found = self.document.load().await?;
        self.is_taken = true;
        let Some(found) = found else { return Ok(None) };
        read_rollout(&found.document, self.document.key(), &self.path).map(Some)
    }

    /// Replaces the copy, if this rollout is another one. Returns whether it was.
    async fn keep(&mut self, rollout: &Rollout) -> Result<bool, DocumentError> {
        let latest = Some((rollout.latest(), rollout.weight()));
        if self.kept == latest {
            return Ok(false);
        }
        self.document.write(&write(rollout)?).await?;
        self.kept = latest;
        Ok(true)
    }
}

impl Driver {
    /// Begins with the copy of an earlier process, because the store has not answered.
    pub(super) async fn begin_with_copy(&mut self) {
        let is_possible = |copy: &&mut LocalCopy| !copy.is_taken && copy.is_ready();
        let Some(copy) = self.local_copy.as_mut().filter(is_possible) else { return };
        let taken = copy.take().await;
        copy.note(&taken);
        let (now, path) = (self.clock.now(), &copy.path);
        let result = taken.as_ref().map(drop).map_err(|error| with_causes(error));
        self.health.note(now, StoreOperation::Read, path, result);
        if let Ok(Some(rollout)) = taken {
            self.feed(Input::Copy(Box::new(rollout))).await;
            if self.replica.relation() == Relation::Same {
                // No driver tells how many replicas have a guard.
                self.judge.share_alpha(ASSUMED_REPLICAS);
                self.judge.reach_step(self.replica.rollout().begun_steps(), &self.plane.canary);
            }
        }
    }

    /// Keeps a copy of the rollout in force, for a process that starts while the store is away. If the
    /// canary was rolled back while a copy was in force, the next process must not begin with it.
    pub(super) async fn keep_copy(&mut self) {
        let Some(copy) = self.local_copy.as_mut().filter(|copy| copy.is_ready()) else { return };
        let rollout = self.replica.rollout();
        let is_ours = self.replica.relation() == Relation::Same;
        let kept = if self.replica.is_loaded() {
            copy.keep(rollout).await
        } else if is_ours && self.plane.canary.weight() < rollout.weight() {
            // The copy of an earlier process. One that another process has written since stays.
            copy.document.remove().await.map_err(DocumentError::from)
        } else {
            return;
        };
        copy.note(&kept);
        if kept.as_ref().is_ok_and(|is_new| !is_new) {
            return;
        }
        if kept.is_ok() {
            // A copy that could not be read is gone.
            self.health.forget(StoreOperation::Read, &copy.path);
        }
        let result = kept.map(drop).map_err(|error| with_causes(&error));
        self.health.note(self.clock.now(), StoreOperation::Write, &copy.path, result);
    }
}

/// The time between two attempts while the store of the copies fails.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// The number of replicas among which the guards divide alpha while a copy is in force.
const ASSUMED_REPLICAS: usize = 50;
