use std::{sync::Arc, time::Duration};

use canary_core::Weight;
use canary_rollout::{Relation, Rollout, event::EventId, replica::Input};
use tokio::time::Instant;

use crate::{
    driver::{
        document_error::{DocumentError, write},
        documents::read_rollout,
        patient_store::PatientStore,
        run::Driver,
    },
    error_chain::with_causes,
    store::{Revision, StateStore, StoreError, StoreKey, StoreOperation, Swap},
};

/// A copy of the rollout in force, in a store of this machine: a process that starts while the shared
/// store is away begins with it.
pub(super) struct LocalCopy {
    store: PatientStore,
    key: StoreKey,
    path: String,
    revision: Option<Revision>,
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
        let (store, try_at) = (PatientStore::new(store), Instant::now());
        Self { store, key, path, revision: None, is_taken: false, kept: None, try_at }
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
        let found = self.store.load(&self.key).await?;
        self.is_taken = true;
        let Some(found) = found else { return Ok(None) };
        self.revision = Some(found.revision);
        read_rollout(&found.document, &self.key, &self.path).map(Some)
    }

    /// Removes the copy of an earlier process. Returns whether there was one.
    async fn remove(&mut self) -> Result<bool, DocumentError> {
        let Some(revision) = &self.revision else { return Ok(false) };
        // If another process of this machine has replaced it, that copy stays.
        let _ = self.store.remove(&self.key, revision).await?;
        self.revision = None;
        Ok(true)
    }

    /// Replaces the copy, if this rollout is another one. Returns whether it was.
    async fn keep(&mut self, rollout: &Rollout) -> Result<bool, DocumentError> {
        let latest = Some((rollout.latest(), rollout.weight()));
        if self.kept == latest {
            return Ok(false);
        }
        let document = write(rollout)?;
        // Another process of this machine may have replaced the copy.
        for _ in 0..MAX_ATTEMPTS {
            let (key, expected) = (&self.key, self.revision.as_ref());
            match self.store.compare_and_swap(key, expected, &document).await? {
                Swap::Done(revision) => {
                    (self.revision, self.kept) = (Some(revision), latest);
                    return Ok(true);
                }
                Swap::Conflict(found) => self.revision = found.map(|found| found.revision),
            }
        }
        let operation = format!("swap {}", self.key);
        Err(StoreError::unavailable(operation, "another process keeps changing the copy").into())
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
            copy.remove().await
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

const MAX_ATTEMPTS: usize = 3;
/// The time between two attempts while the store of the copies fails.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// The number of replicas among which the guards divide alpha while a copy is in force.
const ASSUMED_REPLICAS: usize = 50;
