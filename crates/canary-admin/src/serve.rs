mod connections;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
    serve::Listener,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::ServiceExt as _;

use self::connections::{Connections, Held, Usage};
use crate::{
    access::{Caller, Peer},
    admin::Admin,
};

impl Admin {
    /// Serves the API and the page on a port of their own, until [`stop`](Self::stop).
    ///
    /// Requests in flight then have five seconds to end. It speaks HTTP/1.1, also behind a proxy.
    ///
    /// A connection is closed if it sends no request for ten seconds. At most 256 connections are open:
    /// a further one takes the place of one on which no operator has a request in flight, and waits if
    /// there is none. The address with the most connections loses the place, so that an address cannot
    /// keep others out.
    ///
    /// # Errors
    ///
    /// Returns an error if the access is [`loopback`](crate::Access::loopback) and the address is not,
    /// or if the server cannot listen on the address.
    pub async fn serve(self, addr: SocketAddr) -> Result<(), ServeError> {
        self.check_addr(addr)?;
        let listener = TcpListener::bind(addr).await;
        let listener = listener.map_err(|source| ServeError::Listen { addr, source })?;
        self.serve_on(listener).await
    }

    /// Serves as [`serve`](Self::serve) does, on a listener of the application.
    ///
    /// # Errors
    ///
    /// See [`serve`](Self::serve).
    pub async fn serve_on(self, mut listener: TcpListener) -> Result<(), ServeError> {
        let addr = listener.local_addr().map_err(ServeError::Io)?;
        self.check_addr(addr)?;
        let mut stop = self.shared.stop.subscribe();
        let (mut tasks, mut connections) = (JoinSet::new(), Connections::default());
        let router = self.router();
        loop {
            let (stream, peer) = tokio::select! {
                () = stopped(&mut stop) => break,
                Some(_) = tasks.join_next() => continue,
                accepted = Listener::accept(&mut listener) => accepted,
            };
            connections.make_room(&mut tasks, &stop).await;
            let usage = Arc::new(Usage::default());
            let serve = serve_one(stream, peer, router.clone(), Arc::clone(&usage), stop.clone());
            connections.add(peer, usage, tasks.spawn(serve));
        }
        drop(listener);
        let end = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, end).await;
        tasks.shutdown().await;
        Ok(())
    }

    fn check_addr(&self, addr: SocketAddr) -> Result<(), ServeError> {
        if self.shared.access.is_loopback() && !addr.ip().to_canonical().is_loopback() {
            return Err(ServeError::Open(addr));
        }
        Ok(())
    }
}

/// The error of [`Admin::serve`].
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address can be reached from other machines, and the access asks for no credentials.
    #[error(
        "{0} can be reached from other machines: serve on a loopback address such as 127.0.0.1, or use \
         `Access::tokens`"
    )]
    Open(SocketAddr),
    /// The server cannot listen.
    #[error("cannot listen on {addr}: {source}")]
    #[non_exhaustive]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// The listener has failed.
    #[error("cannot serve: {0}")]
    Io(io::Error),
}

canary_core::debug_as_display!(ServeError);

/// Serves a connection until its client closes it or the server stops.
async fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    usage: Arc<Usage>,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        answer(request, peer, router.clone(), Arc::clone(&usage))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // It also runs between two requests.
        .header_read_timeout(SILENCE_LIMIT)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // Broken connections are daily business.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(
    mut request: Request<Incoming>,
    peer: SocketAddr,
    router: Router,
    usage: Arc<Usage>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(Peer(peer)));
    usage.progress();
    let response = router.oneshot(request).await?;
    if response.extensions().get::<Caller>().is_none() {
        // Without credentials, no one can keep a place by not reading the response.
        usage.end();
        return Ok(response);
    }
    Ok(response.map(|body| Body::new(Held::new(body, usage))))
}

/// Waits until the server stops, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The time for a request to arrive, and for the next one on the same connection.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// Enough for the head of a request, and too few to fill the memory.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// The time for requests in flight when the server stops.
const GRACE: Duration = Duration::from_secs(5);
