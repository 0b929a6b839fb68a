//! The connection that waits for notifications, for all watches of a store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use canary_controller::store::{CALL_DEADLINE, StoreKey};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::session::{Servers, Session};

/// Wakes the watches of keys.
#[derive(Default)]
pub(crate) struct Wakers {
    by_key: Mutex<HashMap<String, watch::Sender<()>>>,
}

impl Wakers {
    pub(crate) fn subscribe(&self, key: &StoreKey) -> watch::Receiver<()> {
        let mut by_key = self.lock();
        by_key.retain(|_, waker| !waker.is_closed());
        by_key.entry(key.to_string()).or_default().subscribe()
    }

    pub(crate) fn wake(&self, key: &str) {
        if let Some(waker) = self.lock().get(key) {
            waker.send_replace(());
        }
    }

    pub(crate) fn wake_all(&self) {
        for waker in self.lock().values() {
            waker.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Owns the task that listens. It begins with the first watch, and ends with the store.
#[derive(Default)]
pub(crate) struct Listener {
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Listener {
    /// Starts the task, unless it runs. It has ended if its runtime has.
    pub(crate) fn start(&self, servers: &Arc<Servers>, wakers: &Arc<Wakers>, poll: Duration) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(listen(servers.clone(), wakers.clone(), poll)));
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

async fn listen(servers: Arc<Servers>, wakers: Arc<Wakers>, check_interval: Duration) {
    let mut failures = 0;
    loop {
        if let Some(session) = begin(&servers, &wakers).await {
            failures = 0;
            // Changes before `listen` took effect were not notified.
            wakers.wake_all();
            while is_alive(&session, check_interval).await {}
            // The watches find out whether the server is gone.
            wakers.wake_all();
        } else {
            failures += 1;
        }
        sleep(backoff(failures)).await;
    }
}

async fn begin(servers: &Servers, wakers: &Arc<Wakers>) -> Option<Session> {
    let beginning = async {
        let session = servers.connect(wakers).await?;
        let listen = format!("listen \"{}\"", servers.tables.channel);
        let listening = session.client.batch_execute(&listen).await;
        listening
            .map_err(|error| crate::failure::Failure::of_connection(&session.server, &error))?;
        Ok::<_, crate::failure::Failure>(session)
    };
    match timeout(CALL_DEADLINE, beginning).await {
        Ok(Ok(session)) => return Some(session),
        Ok(Err(failure)) => tracing::debug!(error = %failure.text, "cannot listen for changes"),
        Err(_) => {
            let server = &servers.location;
            tracing::debug!(%server, "cannot listen for changes: no response within 2s");
        }
    }
    None
}

/// Waits. Returns whether the connection works then: one whose peer has disappeared reports no error.
async fn is_alive(session: &Session, interval: Duration) -> bool {
    tokio::select! {
        () = session.ended() => false,
        () = sleep(interval) => {
            matches!(timeout(CALL_DEADLINE, session.client.batch_execute("")).await, Ok(Ok(())))
        }
    }
}

/// Returns the delay after this number of failures in a row. Half of it is random, so that replicas do not
/// return at the same time.
fn backoff(failures: u32) -> Duration {
    let max = FIRST_BACKOFF.saturating_mul(1 << failures.min(10)).min(MAX_BACKOFF);
    max.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
