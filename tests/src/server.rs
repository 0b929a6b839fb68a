//! An axum server on a free loopback port.

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, extract::Request, response::Response, serve::IncomingStream};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tower::Service;

/// A server for HTTP/1 and HTTP/2. It accepts connections until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves a router, whose handlers can extract `ConnectInfo<SocketAddr>`.
    #[must_use]
    pub fn of_router(router: Router) -> Self {
        Self::of_maker(router.into_make_service_with_connect_info::<SocketAddr>())
    }

    /// Serves a make service with `axum::serve`.
    ///
    /// # Panics
    ///
    /// If no port of the loopback interface is free.
    #[must_use]
    pub fn of_maker<M, S>(make_service: M) -> Self
    where
        M: for<'a> Service<IncomingStream<'a, TcpListener>, Error = Infallible, Response = S>
            + Send
            + 'static,
        for<'a> <M as Service<IncomingStream<'a, TcpListener>>>::Future: Send,
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("sockets can be non-blocking");
        let address = listener.local_addr().expect("the listener is bound");
        let listener = TcpListener::from_std(listener).expect("a runtime is active");
        let (stop, stopped) = oneshot::channel();
        let served = axum::serve(listener, make_service).with_graceful_shutdown(async {
            // An error means that the server was dropped.
            let _ = stopped.await;
        });
        let task = tokio::spawn(async { served.await.expect("axum::serve never fails") });
        Self { address, stop, task }
    }

    /// Returns the address on which the server listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts a graceful shutdown. The returned task ends after all connections have ended.
    #[must_use]
    pub fn shut_down(self) -> JoinHandle<()> {
        // An error means that the task has ended, and awaiting it shows the reason.
        let _ = self.stop.send(());
        self.task
    }
}
