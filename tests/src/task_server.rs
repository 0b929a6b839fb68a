//! A server that runs as a task.

use std::net::SocketAddr;

use tokio::{net::TcpListener, task::JoinHandle};

/// A server on a free port of the loopback interface. It runs until it is dropped.
#[derive(Debug)]
pub struct TaskServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl TaskServer {
    /// Spawns the future that `serve` returns for a listener on a free port.
    pub async fn start<F>(serve: impl FnOnce(TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        Self { address, task: tokio::spawn(serve(listener)) }
    }

    /// Returns the address on which the server listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of `path`, which begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for TaskServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
