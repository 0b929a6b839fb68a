//! The connection for calls.

use std::sync::Arc;

use canary_controller::store::StoreError;
use tokio::{sync::Mutex, time::timeout_at};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use crate::{
    call::{Access, Call},
    failure::{self, Failure},
    listener::Wakers,
    session::{Servers, Session},
};

/// A parameter of a statement, and its type.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Executes statements, and connects again when the connection has ended.
///
/// One connection serves all concurrent calls: the client sends a statement without waiting for the
/// results of the earlier ones.
pub(crate) struct Connections {
    pub(crate) servers: Arc<Servers>,
    pub(crate) wakers: Arc<Wakers>,
    current: Mutex<Option<Arc<Session>>>,
}

impl Connections {
    pub(crate) fn new(servers: Arc<Servers>, wakers: Arc<Wakers>) -> Self {
        Self { servers, wakers, current: Mutex::new(None) }
    }

    /// Executes one statement, which is one transaction, within the deadline of the call.
    pub(crate) async fn query(
        &self,
        call: &Call,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let mut attempt = 1;
        loop {
            let session = self.session(call).await?;
            let querying = session.client.query_typed(sql, parameters);
            let error = match timeout_at(call.deadline, querying).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => error,
                Err(_) => {
                    session.discard();
                    let text = format!("{}: no response within 2s", session.server);
                    let reaction = failure::Reaction::Unknown;
                    return Err(Failure { text, reaction }.of_call(call));
                }
            };
            let is_last = attempt == MAX_ATTEMPTS;
            attempt += 1;
            if !is_last && failure::is_missing_table(&error) {
                // P6.
                let creating = session.create_tables(&self.servers.tables);
                match timeout_at(call.deadline, creating).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(failure)) => return Err(failure.of_call(call)),
                    Err(_) => return Err(self.late().of_call(call)),
                }
            }
            let is_repeatable = failure::is_rivalry(&error)
                || (call.access == Access::Read && failure::is_disconnected(&error));
            if is_last || !is_repeatable {
                return Err(Failure::of_statement(&session.server, &error).of_call(call));
            }
        }
    }

    /// Returns the connection. Connects if there is none.
    pub(crate) async fn session(&self, call: &Call) -> Result<Arc<Session>, StoreError> {
        let connecting = async {
            // Calls that need the connection at the same time wait for the first one.
            let mut current = self.current.lock().await;
            if let Some(session) = &*current
                && session.is_usable()
            {
                return Ok(session.clone());
            }
            *current = None;
            let session = Arc::new(self.servers.connect(&self.wakers).await?);
            *current = Some(session.clone());
            Ok(session)
        };
        let connected = timeout_at(call.deadline, connecting).await;
        connected.unwrap_or_else(|_| Err(self.late())).map_err(|failure| failure.of_call(call))
    }

    fn late(&self) -> Failure {
        Failure::unavailable(format!("{}: no connection within 2s", self.servers.location))
    }
}

/// Enough for a connection that ended and tables that were dropped in one call.
const MAX_ATTEMPTS: u32 = 4;
