//! One connection to the primary server.

use std::{
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::task::AbortHandle;
use tokio_postgres::{AsyncMessage, Client, Connection, Socket, types::Type};

use crate::{
    connector::{Connector, Encrypted},
    failure::{self, Failure},
    listener::Wakers,
    options::{Endpoint, InvalidOption, PostgresOptions},
    roots,
    tables::Tables,
    url::TlsMode,
};

/// The servers, and all that is needed to connect to one of them.
pub(crate) struct Servers {
    endpoints: Vec<(Endpoint, Connector)>,
    /// The names of the servers and the database, for errors.
    pub(crate) location: String,
    pub(crate) tables: Tables,
    /// Set once a pooler has refused the settings of a connection.
    is_pooled: OnceLock<()>,
}

impl Servers {
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self, InvalidOption> {
        let connector = |endpoint: Endpoint| {
            let config = roots::client_config(endpoint.tls, options.tls_parameters())?;
            Ok((endpoint, Connector { config }))
        };
        let endpoints: Result<Vec<_>, InvalidOption> =
            options.endpoints().into_iter().map(connector).collect();
        let endpoints = endpoints?;
        let names: Vec<_> = endpoints.iter().map(|(endpoint, _)| &*endpoint.name).collect();
        let location = format!("{}/{}", names.join(","), options.database());
        Ok(Self {
            endpoints,
            location,
            tables: Tables::new(options.schema_name(), options.prefix()),
            is_pooled: OnceLock::new(),
        })
    }

    /// Connects to the first server that answers and accepts writes.
    ///
    /// All are tried at the same time: one that hangs must not use up the time of the call.
    pub(crate) async fn connect(&self, wakers: &Arc<Wakers>) -> Result<Session, Failure> {
        let attempts = self.endpoints.iter().map(|(endpoint, connector)| {
            let wakers = wakers.clone();
            async move { self.connect_to(endpoint, connector.clone(), wakers).await }
        });
        let mut attempts: FuturesUnordered<_> = attempts.collect();
        let mut failures = Vec::new();
        while let Some(attempt) = attempts.next().await {
            match attempt {
                Ok(session) => return Ok(session),
                Err(failure) => failures.push(failure),
            }
        }
        // An operator need not act if one of the servers may come back.
        let reaction = failures.iter().map(|it| it.reaction).max();
        let texts: Vec<_> = failures.into_iter().map(|it| it.text).collect();
        let reaction = reaction.expect("there is at least one server");
        Err(Failure { text: texts.join("; "), reaction })
    }

    async fn connect_to(
        &self,
        endpoint: &Endpoint,
        connector: Connector,
        wakers: Arc<Wakers>,
    ) -> Result<Session, Failure> {
        let server = format!("{}/{}", endpoint.name, self.database());
        let failed = |error| Failure::of_connection(&server, &error);
        let mut config = endpoint.config.clone();
        let own = config.get_options().map(str::to_owned);
        if self.is_pooled.get().is_none() {
            config.options(format!("{SETTINGS} {}", own.as_deref().unwrap_or_default()));
        }
        let connected = config.connect(connector.clone()).await;
        let (client, connection) = match connected {
            Err(error) if failure::is_refused_setting(&error) && self.is_pooled.set(()).is_ok() => {
                tracing::warn!(
                    %server, %error,
                    "the pooler refuses the settings of the store: statements have no time limit",
                );
                endpoint.config.connect(connector).await.map_err(failed)?
            }
            connected => connected.map_err(failed)?,
        };
        let is_encrypted = endpoint.tls != TlsMode::Disable;
        tracing::debug!(%server, is_encrypted, "connected");
        let session = Session::new(server, client, connection, wakers);
        session.check(&self.tables).await?;
        Ok(session)
    }

    fn database(&self) -> &str {
        self.location.rsplit('/').next().unwrap_or_default()
    }
}

/// A connection, driven by a task that ends with it.
pub(crate) struct Session {
    /// The server and the database, for errors.
    pub(crate) server: String,
    pub(crate) client: Client,
    task: AbortHandle,
    is_discarded: AtomicBool,
    ended: tokio::sync::watch::Receiver<()>,
}

impl Session {
    fn new(
        server: String,
        client: Client,
        mut connection: Connection<Socket, Encrypted<Socket>>,
        wakers: Arc<Wakers>,
    ) -> Self {
        let (running, ended) = tokio::sync::watch::channel(());
        let name = server.clone();
        let task = tokio::spawn(async move {
            let _running = running;
            while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    Ok(AsyncMessage::Notification(it)) => wakers.wake(it.payload()),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(server = %name, %error, "the connection ended");
                        break;
                    }
                }
            }
        });
        Self {
            server,
            client,
            task: task.abort_handle(),
            is_discarded: AtomicBool::new(false),
            ended,
        }
    }

    /// Checks that the store can work with this server, and creates the tables if they are missing.
    async fn check(&self, tables: &Tables) -> Result<(), Failure> {
        let failed = |error| Failure::of_connection(&self.server, &error);
        let query = "select current_setting('server_encoding'), current_setting('fsync'), \
            current_setting('synchronous_commit'), to_regclass($1) is not null";
        let table = tables.version.as_str();
        let found =
            self.client.query_typed(query, &[(&table, Type::TEXT)]).await.map_err(failed)?;
        let row = found.first().ok_or_else(|| Failure::unavailable(self.unexpected()))?;
        let text = |index| row.try_get::<_, &str>(index).map_err(failed);
        let encoding = text(0)?;
        if encoding != "UTF8" {
            let text = format!("{}: encoding {encoding}: expected UTF8", self.server);
            return Err(Failure::refused(text));
        }
        if text(1)? != "on" {
            tracing::warn!(server = %self.server, "fsync is off: a crash can lose or damage data");
        }
        if text(2)? == "off" {
            // The settings of the store set it, but a pooler has refused them.
            let server = &self.server;
            let why = "synchronous_commit is off: expected on, so that a crash loses no write";
            return Err(Failure::refused(format!("{server}: {why}")));
        }
        if !row.try_get::<_, bool>(3).map_err(failed)? {
            return self.create_tables(tables).await;
        }
        self.check_version(tables).await
    }

    /// Creates what is missing of the tables. Replicas that start together take turns.
    pub(crate) async fn create_tables(&self, tables: &Tables) -> Result<(), Failure> {
        let failed = |error| Failure::of_connection(&self.server, &error);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let micros = now.map_or(1, |now| u64::try_from(now.as_micros()).unwrap_or(1));
        // One message is one transaction.
        self.client.batch_execute(&tables.creation(micros)).await.map_err(failed)?;
        self.check_version(tables).await
    }

    async fn check_version(&self, tables: &Tables) -> Result<(), Failure> {
        let failed = |error| Failure::of_connection(&self.server, &error);
        let query = format!("select version from {}", tables.version);
        let rows = self.client.query_typed(&query, &[]).await.map_err(failed)?;
        let row = rows.first().ok_or_else(|| {
            let (server, table) = (&self.server, &tables.version);
            Failure::refused(format!("{server}: {table} is empty: expected the version {VERSION}"))
        })?;
        let version: i32 = row.try_get(0).map_err(failed)?;
        if version == VERSION {
            return Ok(());
        }
        let (server, table) = (&self.server, &tables.version);
        let expected = format!("expected {VERSION}; another release of this crate made the tables");
        Err(Failure::refused(format!("{server}: version {version} in {table}: {expected}")))
    }

    fn unexpected(&self) -> String {
        format!("{}: the server returned no row", self.server)
    }

    /// Returns whether statements can be sent.
    pub(crate) fn is_usable(&self) -> bool {
        // The flag publishes no other data.
        !self.is_discarded.load(Ordering::Relaxed) && !self.client.is_closed()
    }

    /// Closes the connection, after the server has not answered in time.
    pub(crate) fn discard(&self) {
        self.is_discarded.store(true, Ordering::Relaxed);
        self.task.abort();
    }

    /// Waits until the connection has ended.
    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.clone();
        // The sender is dropped with the task, and sends nothing.
        let _ = ended.changed().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A server that hangs would keep the task, because it waits for responses.
        self.task.abort();
    }
}

/// The version of the tables.
pub(crate) const VERSION: i32 = 1;

/// A statement that waits for a lock ends before its call does, so that its outcome is known. Options
/// of the URL follow and take precedence.
const SETTINGS: &str = "-c lock_timeout=1000 -c statement_timeout=1500 -c synchronous_commit=on \
    -c default_transaction_isolation=read\\ committed";
