//! A TCP proxy that can cut its connections.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::task_server::TaskServer;

/// Forwards connections to a server. It runs until it is dropped.
#[derive(Debug)]
pub struct TcpProxy {
    server: TaskServer,
    is_cut: Arc<watch::Sender<bool>>,
}

impl TcpProxy {
    /// Starts a proxy in front of `target`.
    pub async fn start(target: SocketAddr) -> Self {
        let is_cut = Arc::new(watch::Sender::new(false));
        let sender = Arc::clone(&is_cut);
        let server = TaskServer::start(|listener: TcpListener| async move {
            loop {
                let (mut client, _) = listener.accept().await.expect("the listener accepts");
                let mut is_cut = sender.subscribe();
                tokio::spawn(async move {
                    let forward = async {
                        let mut server = TcpStream::connect(target).await?;
                        copy_bidirectional(&mut client, &mut server).await
                    };
                    tokio::select! {
                        biased;
                        _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                        // An error ends the connection, like its end.
                        _ = forward => {}
                    }
                });
            }
        })
        .await;
        Self { server, is_cut }
    }

    /// Returns the URL of the proxy, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url("")
    }

    /// Closes all connections, and closes new ones at once.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Forwards new connections again.
    pub fn restore(&self) {
        self.is_cut.send_replace(false);
    }
}
