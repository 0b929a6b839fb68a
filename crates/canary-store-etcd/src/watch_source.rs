use std::time::Duration;

use canary_controller::store::{StoreError, StoreFuture, StoreKey, Versioned, WatchSource};
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::{
    cluster::Cluster,
    failure::Failure,
    keys,
    proto::{WatchCreateRequest, WatchResponse},
    store::{self, EtcdStore},
};

/// Reads a key, and waits for its changes on a stream.
///
/// The stream begins at the revision of a load and is not resumed after it breaks: if the data was
/// lost, the revisions start over, and a resumed stream would wait for one that is far away.
pub(crate) struct EtcdWatchSource {
    store: EtcdStore,
    key: StoreKey,
    /// The revision of the last load.
    revision: i64,
    stream: Option<ChangeStream>,
}

struct ChangeStream {
    responses: Streaming<WatchResponse>,
    opened: Instant,
}

impl EtcdWatchSource {
    pub(crate) const fn new(store: EtcdStore, key: StoreKey) -> Self {
        Self { store, key, revision: 0, stream: None }
    }

    async fn wait(&mut self) -> Result<(), StoreError> {
        let operation = format!("watch {}", self.key);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream =
                    ChangeStream::open(&self.store.cluster, &operation, &self.key, self.revision);
                self.stream.insert(stream.await?)
            }
        };
        let Err(cause) = stream.changed().await else { return Ok(()) };
        let is_young = stream.opened.elapsed() < MIN_AGE;
        self.stream = None;
        if is_young {
            return Err(StoreError::unavailable(operation, cause));
        }
        // The load shows whether another endpoint responds. If so, the watch has missed nothing.
        Ok(())
    }
}

impl WatchSource for EtcdWatchSource {
    fn load(&mut self) -> StoreFuture<'_, Option<Versioned>> {
        Box::pin(async {
            let response = self.store.read(&self.key).await?;
            let revision = response.header.as_ref().map_or(0, |header| header.revision);
            if revision < self.revision {
                // Not the data that the stream belongs to.
                self.stream = None;
            }
            self.revision = revision;
            store::parse(&format!("load {}", self.key), response.kvs.first())
        })
    }

    fn changed(&mut self) -> StoreFuture<'_, ()> {
        Box::pin(self.wait())
    }
}

impl ChangeStream {
    async fn open(
        cluster: &Cluster,
        operation: &str,
        key: &StoreKey,
        revision: i64,
    ) -> Result<Self, StoreError> {
        let request = WatchCreateRequest { key: keys::document(key), start_revision: revision + 1 };
        let responses = cluster.open(operation, request).await?;
        Ok(Self { responses, opened: Instant::now() })
    }

    /// Waits for a change. Cancel safe.
    async fn changed(&mut self) -> Result<(), String> {
        loop {
            let response = self.responses.message().await;
            let response = response.map_err(|status: Status| Failure::of(&status).cause)?;
            let response = response.ok_or("the server has ended the watch")?;
            if response.canceled {
                let reason = match (response.compact_revision, response.cancel_reason) {
                    (1.., _) => "the revision is compacted".to_owned(),
                    (_, reason) => reason,
                };
                return Err(format!("the server has canceled the watch: {reason}"));
            }
            if !response.events.is_empty() {
                return Ok(());
            }
        }
    }
}

/// A stream that breaks sooner is reported, so that a server that ends all streams at once is not
/// asked without a pause.
const MIN_AGE: Duration = Duration::from_secs(1);
