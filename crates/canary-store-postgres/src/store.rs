use std::{fmt, sync::Arc};

use canary_controller::store::{
    Document, DocumentWatch, EventRecord, KeyRange, Listed, Removal, Revision, StateStore,
    StoreError, StoreFuture, StoreKey, Swap, Versioned, WatchSource,
};
use tokio::{
    sync::watch,
    time::{Duration, timeout},
};
use tokio_postgres::{Error, Row, types::Type};

use crate::{
    call::{Access, Call},
    connections::{Connections, Parameter},
    failure::Failure,
    listener::{Listener, Wakers},
    options::{InvalidOption, PostgresOptions},
    session::Servers,
};

/// A [`StateStore`] in a PostgreSQL database. The [crate's documentation](crate) describes its tables,
/// rights, guarantees and load.
///
/// Clones share their connections. The connections are closed when the last clone and the last watch
/// are dropped.
///
/// # Example
///
/// ```no_run
/// // `no_run`, because it needs a PostgreSQL server.
/// use canary_controller::store::{Document, StateStore, StoreKey};
/// use canary_store_postgres::{PostgresOptions, PostgresStore};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let options = PostgresOptions::from_url("postgres://shop@localhost/shop")?;
/// let store = PostgresStore::open(options).await?;
/// let key = StoreKey::try_new("prod", &"checkout".parse()?)?;
/// let _ = store.compare_and_swap(&key, None, &Document::try_new(r#"{"step":1}"#)?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    shared: Arc<Shared>,
}

struct Shared {
    connections: Connections,
    listener: Listener,
    poll_interval: Duration,
}

impl PostgresStore {
    /// Creates a store without connecting. The first call connects, and creates the tables if they are
    /// missing.
    ///
    /// # Errors
    ///
    /// Returns an error if a file with certificates cannot be read or is invalid, or if the connection
    /// must be verified and the operating system has no root certificates.
    #[expect(clippy::needless_pass_by_value, reason = "options are used up, as by `open`")]
    pub fn new(options: PostgresOptions) -> Result<Self, InvalidOption> {
        let wakers = Arc::<Wakers>::default();
        let connections = Connections::new(Arc::new(Servers::new(&options)?), wakers);
        let listener = Listener::default();
        let shared = Shared { connections, listener, poll_interval: options.poll() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Creates a store, connects, and creates the tables if they are missing.
    ///
    /// # Errors
    ///
    /// Returns [`Refused`](StoreError::Refused) if the options, the credentials, the rights or the version
    /// of the tables must be changed, and [`Unavailable`](StoreError::Unavailable) if no server responds
    /// and accepts writes.
    pub async fn open(options: PostgresOptions) -> Result<Self, StoreError> {
        let call = Call::new(Access::Read, "open the store in PostgreSQL".to_owned());
        let created = Self::new(options);
        let store = created.map_err(|error| StoreError::refused(&*call.operation, error))?;
        store.shared.connections.session(&call).await?;
        Ok(store)
    }

    async fn query(
        &self,
        call: &Call,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.shared.connections.query(call, sql, parameters).await
    }

    async fn load_for(&self, call: &Call, key: &StoreKey) -> Result<Option<Versioned>, StoreError> {
        let sql = &self.shared.connections.servers.tables.load;
        let rows = self.query(call, sql, &[(&key.as_str(), Type::TEXT)]).await?;
        self.check_primary(call, &rows)?;
        let row = rows.first().expect("a left join returns a row");
        self.versioned(call, row, 1)
    }

    /// Reads a revision, a digest and a document from three columns of a row. A key without a document
    /// has nulls.
    fn versioned(
        &self,
        call: &Call,
        row: &Row,
        first: usize,
    ) -> Result<Option<Versioned>, StoreError> {
        let Some(text) =
            row.try_get::<_, Option<&str>>(first + 2).map_err(|error| self.failed(call, &error))?
        else {
            return Ok(None);
        };
        let document = Document::try_new(text.to_owned());
        let document = document.map_err(|error| {
            let Self { shared } = self;
            let servers = &shared.connections.servers;
            let text = format!("{} in {}: {error}", servers.tables.documents, servers.location);
            StoreError::corrupt(&*call.operation, text)
        })?;
        Ok(Some(Versioned { revision: self.revision(call, row, first)?, document }))
    }

    /// Reads a revision and a digest from two columns of a row.
    fn revision(&self, call: &Call, row: &Row, first: usize) -> Result<Revision, StoreError> {
        let number = row.try_get::<_, i64>(first).map_err(|error| self.failed(call, &error))?;
        let digest = row.try_get::<_, &str>(first + 1);
        let digest = digest.map_err(|error| self.failed(call, &error))?;
        Ok(Revision::new(format!("{number}-{digest}")))
    }

    /// Fails if the rows of a read are those of a replica, in their first column. A pooler or a proxy
    /// may have changed the server after the connection was checked.
    fn check_primary(&self, call: &Call, rows: &[Row]) -> Result<(), StoreError> {
        let Some(row) = rows.first() else { return Ok(()) };
        if row.try_get::<_, bool>(0).map_err(|error| self.failed(call, &error))? {
            let location = &self.shared.connections.servers.location;
            let text = format!("{location}: the server is a replica: expected the primary");
            return Err(Failure::unavailable(text).of_call(call));
        }
        Ok(())
    }

    fn failed(&self, call: &Call, error: &Error) -> StoreError {
        Failure::of_statement(&self.shared.connections.servers.location, error).of_call(call)
    }

    fn channel(&self) -> &str {
        &self.shared.connections.servers.tables.channel
    }

    async fn swap(
        &self,
        key: &StoreKey,
        expected: Option<&Revision>,
        document: &Document,
    ) -> Result<Swap, StoreError> {
        let call = Call::new(Access::Write, format!("swap {key}"));
        let tables = &self.shared.connections.servers.tables;
        let (name, channel, text) = (key.as_str(), self.channel(), document.as_str());
        let is_notified = is_notified(key);
        let mut attempt = 1;
        loop {
            let rows = match expected.map(parse) {
                None => {
                    let parameters: [Parameter<'_>; 4] = [
                        (&name, Type::TEXT),
                        (&is_notified, Type::BOOL),
                        (&channel, Type::TEXT),
                        (&text, Type::TEXT),
                    ];
                    self.query(&call, &tables.create, &parameters).await?
                }
                Some(Some((number, digest))) => {
                    let parameters: [Parameter<'_>; 6] = [
                        (&name, Type::TEXT),
                        (&is_notified, Type::BOOL),
                        (&channel, Type::TEXT),
                        (&text, Type::TEXT),
                        (&number, Type::INT8),
                        (&digest, Type::TEXT),
                    ];
                    self.query(&call, &tables.replace, &parameters).await?
                }
                // Of another store.
                Some(None) => Vec::new(),
            };
            if let Some(row) = rows.first() {
                return Ok(Swap::Done(self.revision(&call, row, 0)?));
            }
            // In a new snapshot, which sees the change that this one has waited for.
            let current = self.load_for(&call.reading(), key).await?;
            let is_as_expected = current.as_ref().map(|it| &it.revision) == expected;
            if !is_as_expected {
                return Ok(Swap::Conflict(current));
            }
            // Another writer removed the document in between.
            if attempt == MAX_ATTEMPTS {
                let text = format!("{attempt} swaps met documents that were removed meanwhile");
                return Err(Failure::unavailable(text).of_call(&call));
            }
            attempt += 1;
        }
    }

    async fn remove_document(
        &self,
        key: &StoreKey,
        expected: &Revision,
    ) -> Result<Removal, StoreError> {
        let call = Call::new(Access::Write, format!("remove {key}"));
        let (name, channel) = (key.as_str(), self.channel());
        if let Some((number, digest)) = parse(expected) {
            let sql = &self.shared.connections.servers.tables.remove;
            let parameters: [Parameter<'_>; 5] = [
                (&name, Type::TEXT),
                (&is_notified(key), Type::BOOL),
                (&channel, Type::TEXT),
                (&number, Type::INT8),
                (&digest, Type::TEXT),
            ];
            if !self.query(&call, sql, &parameters).await?.is_empty() {
                return Ok(Removal::Done);
            }
        }
        Ok(Removal::Conflict(self.load_for(&call.reading(), key).await?))
    }

    async fn list_range(&self, range: &KeyRange) -> Result<Vec<Listed>, StoreError> {
        let call = Call::new(Access::Read, format!("list {range}"));
        let sql = &self.shared.connections.servers.tables.list;
        let begin = range.as_str();
        // The next character after `/`.
        let end = format!("{}0", begin.strip_suffix('/').expect("a range ends with a slash"));
        let parameters: [Parameter<'_>; 2] = [(&begin, Type::TEXT), (&end, Type::TEXT)];
        let rows = self.query(&call, sql, &parameters).await?;
        self.check_primary(&call, &rows)?;
        let mut listed = Vec::new();
        for row in &rows {
            let key = row.try_get::<_, Option<&str>>(1);
            let Some(key) = key.map_err(|error| self.failed(&call, &error))? else { continue };
            // A row that was inserted by hand may have any key.
            let name = key.strip_prefix(begin).and_then(|name| name.parse().ok());
            let Some(key) = name.map(|name| range.key(&name)) else { continue };
            match self.versioned(&call, row, 2) {
                Ok(Some(document)) => listed.push(Listed { key, document: Ok(document) }),
                Ok(None) => {}
                Err(error) => listed.push(Listed { key, document: Err(error) }),
            }
        }
        Ok(listed)
    }

    async fn append(&self, key: &StoreKey, event: &EventRecord) -> Result<(), StoreError> {
        let call = Call::new(Access::Write, format!("append an event to {key}"));
        let sql = &self.shared.connections.servers.tables.append;
        let (name, text) = (key.as_str(), event.as_str());
        let parameters: [Parameter<'_>; 2] = [(&name, Type::TEXT), (&text, Type::TEXT)];
        self.query(&call, sql, &parameters).await.map(drop)
    }

    async fn last_events(
        &self,
        key: &StoreKey,
        limit: usize,
    ) -> Result<Vec<EventRecord>, StoreError> {
        let call = Call::new(Access::Read, format!("read the events of {key}"));
        let sql = &self.shared.connections.servers.tables.events;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let name = key.as_str();
        let parameters: [Parameter<'_>; 2] = [(&name, Type::TEXT), (&limit, Type::INT8)];
        let rows = self.query(&call, sql, &parameters).await?;
        self.check_primary(&call, &rows)?;
        let mut events = Vec::new();
        for row in &rows {
            let text = row.try_get::<_, Option<&str>>(1);
            let Some(text) = text.map_err(|error| self.failed(&call, &error))? else { continue };
            match EventRecord::try_new(text.to_owned()) {
                Ok(event) => events.push(event),
                Err(error) => tracing::warn!(%key, %error, "ignored a row that is not an event"),
            }
        }
        Ok(events)
    }
}

impl StateStore for PostgresStore {
    fn location(&self, key: &StoreKey) -> String {
        let servers = &self.shared.connections.servers;
        format!("{key} in {} of {}", servers.tables.documents, servers.location)
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        Box::pin(async move {
            let call = Call::new(Access::Read, format!("load {key}"));
            self.load_for(&call, key).await
        })
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        Box::pin(self.swap(key, expected, document))
    }

    fn remove<'a>(&'a self, key: &'a StoreKey, expected: &'a Revision) -> StoreFuture<'a, Removal> {
        Box::pin(self.remove_document(key, expected))
    }

    fn list<'a>(&'a self, range: &'a KeyRange) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(self.list_range(range))
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        let changed = self.shared.connections.wakers.subscribe(key);
        DocumentWatch::new(PostgresWatchSource { store: self.clone(), key: key.clone(), changed })
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a EventRecord,
    ) -> StoreFuture<'a, ()> {
        Box::pin(self.append(key, event))
    }

    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        Box::pin(self.last_events(key, limit))
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = &self.shared.connections.servers;
        f.debug_struct("PostgresStore")
            .field("location", &servers.location)
            .field("documents", &servers.tables.documents)
            .finish_non_exhaustive()
    }
}

struct PostgresWatchSource {
    store: PostgresStore,
    key: StoreKey,
    changed: watch::Receiver<()>,
}

impl WatchSource for PostgresWatchSource {
    fn load(&mut self) -> StoreFuture<'_, Option<Versioned>> {
        // Here and not in `StateStore::watch`, which may be called outside of a runtime.
        let Shared { connections, listener, poll_interval } = &*self.store.shared;
        listener.start(&connections.servers, &connections.wakers, *poll_interval);
        self.changed.mark_unchanged();
        self.store.load(&self.key)
    }

    fn changed(&mut self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            // P2: the caller loads the document even without a notification.
            let poll_interval = self.store.shared.poll_interval;
            let _ = timeout(poll_interval, self.changed.changed()).await;
            Ok(())
        })
    }
}

/// Returns the number and the digest of a revision of this store.
fn parse(revision: &Revision) -> Option<(i64, &str)> {
    let (number, digest) = revision.as_str().split_once('-')?;
    Some((number.parse().ok()?, digest))
}

/// Returns whether a change of this key is notified. The board of a fleet changes often, and is read
/// by lists.
fn is_notified(key: &StoreKey) -> bool {
    let after_prefix = &key.as_str()[1 + key.prefix().len()..];
    !after_prefix.starts_with("/v1/board/")
}

const MAX_ATTEMPTS: u32 = 3;
