use std::{fmt, sync::Arc};

use bytes::Bytes;
use canary_controller::store::{
    Document, DocumentWatch, EventRecord, KeyRange, Listed, Removal, Revision, StateStore,
    StoreError, StoreFuture, StoreKey, Swap, Versioned,
};

use crate::{
    builder::EtcdStoreBuilder,
    cluster::{Cluster, call_deadline},
    envelope::{self, WriteId},
    history, keys,
    proto::{KeyValue, RangeRequest, RangeResponse, RequestOp, TxnRequest, operations},
    watch_source::EtcdWatchSource,
};

/// A [`StateStore`] in etcd. Clones share their connections.
///
/// The [crate documentation](crate) describes its keys, its guarantees, and the server that it needs.
#[derive(Clone)]
pub struct EtcdStore {
    pub(crate) cluster: Arc<Cluster>,
}

impl EtcdStore {
    /// Returns a builder of a store on a cluster with these endpoints: the URLs of one, some or all
    /// of its members, such as `http://127.0.0.1:2379`. Without a port it is 2379.
    pub fn builder<I>(endpoints: I) -> EtcdStoreBuilder
    where
        I: IntoIterator<Item: Into<String>>,
    {
        EtcdStoreBuilder::new(endpoints.into_iter().map(Into::into).collect())
    }

    pub(crate) const fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// Reads a key, and returns the response.
    pub(crate) async fn read(&self, key: &StoreKey) -> Result<RangeResponse, StoreError> {
        let range = RangeRequest { key: keys::document(key), ..RangeRequest::default() };
        self.cluster.call(&format!("load {key}"), call_deadline(), &range).await
    }

    /// Changes a key if it has the expected revision. Returns the revision of the store after the
    /// change, or the current document.
    async fn change_if(
        &self,
        operation: &str,
        key: Bytes,
        expected: Option<&Revision>,
        change: RequestOp,
    ) -> Result<Result<i64, Option<Versioned>>, StoreError> {
        let transaction = TxnRequest {
            compare: envelope::conditions(&key, expected),
            success: vec![change],
            failure: vec![operations::read(&key)],
        };
        let response = self.cluster.call(operation, call_deadline(), &transaction).await?;
        if response.succeeded {
            return Ok(Ok(response.revision()));
        }
        parse(operation, response.read().as_ref()).map(Err)
    }

    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, StoreError> {
        let operation = format!("list {range}");
        let deadline = call_deadline();
        let (key, range_end) = keys::range(range);
        let mut page = RangeRequest { key, range_end, limit: PAGE, ..RangeRequest::default() };
        let mut listed = Vec::new();
        loop {
            let response = self.cluster.call(&operation, deadline, &page).await?;
            listed.extend(response.kvs.iter().filter_map(|stored| {
                let key = key_in(range, &stored.key)?;
                let document = parse_value(&format!("load {key}"), stored);
                Some(Listed { key, document })
            }));
            match response.kvs.last() {
                Some(last) if response.more => page.key = [&last.key, &b"\0"[..]].concat().into(),
                _ => return Ok(listed),
            }
        }
    }
}

impl StateStore for EtcdStore {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        Box::pin(async move { parse(&format!("load {key}"), self.read(key).await?.kvs.first()) })
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        Box::pin(async move {
            let (bytes, write) = (keys::document(key), WriteId::random());
            let put = operations::put(&bytes, envelope::value(&write, document));
            let changed = self.change_if(&format!("swap {key}"), bytes, expected, put).await?;
            Ok(match changed {
                Ok(mod_revision) => Swap::Done(envelope::revision(mod_revision, &write)),
                Err(current) => Swap::Conflict(current),
            })
        })
    }

    fn remove<'a>(&'a self, key: &'a StoreKey, expected: &'a Revision) -> StoreFuture<'a, Removal> {
        Box::pin(async move {
            let bytes = keys::document(key);
            let delete = operations::delete(&bytes);
            let operation = format!("remove {key}");
            let changed = self.change_if(&operation, bytes, Some(expected), delete).await?;
            Ok(changed.map_or_else(Removal::Conflict, |_| Removal::Done))
        })
    }

    fn list<'a>(&'a self, range: &'a KeyRange) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(self.list(range))
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        DocumentWatch::new(EtcdWatchSource::new(self.clone(), key.clone()))
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a EventRecord,
    ) -> StoreFuture<'a, ()> {
        Box::pin(history::append(&self.cluster, key, event))
    }

    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        Box::pin(history::events(&self.cluster, key, limit))
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints: Vec<_> = self.cluster.endpoints().iter().map(ToString::to_string).collect();
        f.debug_struct("EtcdStore")
            .field("endpoints", &endpoints)
            .field("tokens", &self.cluster.tokens())
            .finish()
    }
}

/// Parses a key and its value, or `None` for a key that does not exist.
pub(crate) fn parse(
    operation: &str,
    stored: Option<&KeyValue>,
) -> Result<Option<Versioned>, StoreError> {
    stored.map(|stored| parse_value(operation, stored)).transpose()
}

fn parse_value(operation: &str, stored: &KeyValue) -> Result<Versioned, StoreError> {
    envelope::parse(stored).map_err(|error| StoreError::corrupt(operation, error))
}

/// Returns the store key with these bytes. The range of etcd also has the keys of prefixes that begin
/// with that of this range.
fn key_in(range: &KeyRange, bytes: &[u8]) -> Option<StoreKey> {
    let name = str::from_utf8(bytes).ok()?.strip_prefix(range.as_str())?;
    Some(range.key(&name.parse().ok()?))
}

/// The number of documents that are read at once. etcd limits a value to 1.5 MiB by default, so that a
/// page fits into a response even if other programs have stored its values.
const PAGE: i64 = 16;
