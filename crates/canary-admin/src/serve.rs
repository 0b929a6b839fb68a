use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::{access::Peer, admin::Admin};

impl Admin {
    /// Serves the API and the page on a port of their own, until [`stop`](Self::stop).
    ///
    /// Pages and command lines then have five seconds to end. At most 256 connections are open at the
    /// same time; further ones wait.
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
    pub async fn serve_on(self, listener: TcpListener) -> Result<(), ServeError> {
        let addr = listener.local_addr().map_err(ServeError::Io)?;
        self.check_addr(addr)?;
        let app = self.router().into_make_service_with_connect_info::<Peer>();
        let stopped = |mut stop: tokio::sync::watch::Receiver<bool>| async move {
            // Fails if the server is gone.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let graceful = stopped(self.shared.stop.subscribe());
        let listener = Bounded { listener, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)) };
        let late = async {
            stopped(self.shared.stop.subscribe()).await;
            tokio::time::sleep(GRACE).await;
        };
        let server = axum::serve(listener, app).with_graceful_shutdown(graceful);
        tokio::select! {
            served = server.into_future() => {
                served.map_err(ServeError::Io)
            }
            () = late => Ok(()),
        }
    }

    fn check_addr(&self, addr: SocketAddr) -> Result<(), ServeError> {
        if self.shared.access.is_loopback() && !addr.ip().to_canonical().is_loopback() {
            return Err(ServeError::Open(addr));
        }
        Ok(())
    }
}

/// The error of [`Admin::serve`].
#[derive(Debug, thiserror::Error)]
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

/// A listener with a limit of open connections.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

/// A connection that holds a place.
struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        let (stream, addr) = Listener::accept(&mut self.listener).await;
        (Connection { stream, _place: place }, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Far more than the pages and command lines of a team.
const MAX_CONNECTIONS: usize = 256;

/// The time for requests in flight when the server stops.
const GRACE: Duration = Duration::from_secs(5);
