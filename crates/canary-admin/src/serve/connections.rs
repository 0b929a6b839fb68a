use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};

use crate::access::network;

/// The open connections of a server, oldest first. Their number is limited.
#[derive(Default)]
pub(super) struct Connections(Vec<Connection>);

struct Connection {
    peer: IpAddr,
    usage: Arc<Usage>,
    task: AbortHandle,
}

impl Connections {
    /// Waits until there is room for one more connection. If necessary, closes one that no operator
    /// uses. Returns early if the server stops.
    pub(super) async fn make_room(
        &mut self,
        tasks: &mut JoinSet<()>,
        stop: &watch::Receiver<bool>,
    ) {
        while tasks.try_join_next().is_some() {}
        self.0.retain(|it| !it.task.is_finished());
        while tasks.len() >= MAX_CONNECTIONS && !*stop.borrow() {
            if let Some(index) = self.victim() {
                self.0.remove(index).task.abort();
            }
            // Without a victim, one may become stalled.
            let _ = timeout(Duration::from_secs(1), tasks.join_next()).await;
        }
    }

    /// Returns the oldest unused connection of the address that has the most of them.
    fn victim(&self) -> Option<usize> {
        let mut counts = HashMap::<IpAddr, usize>::new();
        let unused = || self.0.iter().enumerate().filter(|(_, it)| !it.usage.is_in_use());
        unused().for_each(|(_, it)| *counts.entry(it.peer).or_default() += 1);
        unused().rev().max_by_key(|(_, it)| counts.get(&it.peer)).map(|(index, _)| index)
    }

    pub(super) fn add(&mut self, peer: SocketAddr, usage: Arc<Usage>, task: AbortHandle) {
        self.0.push(Connection { peer: network(peer), usage, task });
    }
}

/// When a request in flight on a connection made progress; `None` if there is no request.
#[derive(Default)]
pub(super) struct Usage(Mutex<Option<Instant>>);

impl Usage {
    pub(super) fn progress(&self) {
        self.set(Some(Instant::now()));
    }

    pub(super) fn end(&self) {
        self.set(None);
    }

    fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn is_in_use(&self) -> bool {
        let at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| at.elapsed() < STALLED)
    }
}

/// The body of a response to an operator. Its connection is in use until the body ends.
pub(super) struct Held {
    body: Body,
    usage: Arc<Usage>,
}

impl Held {
    pub(super) const fn new(body: Body, usage: Arc<Usage>) -> Self {
        Self { body, usage }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // A client that does not read is not polled.
        self.usage.progress();
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.usage.end();
    }
}

/// Far more than the pages and command lines of a team.
const MAX_CONNECTIONS: usize = 256;

/// A request without progress for this long does not keep its connection. A command and a body take
/// less, and a stream has something to send every 15 seconds.
const STALLED: Duration = Duration::from_secs(30);
