//! Serving until ctrl-c, SIGTERM or a time limit, and graceful shutdown.

use std::{future, io, net::SocketAddr, pin::pin, time::Duration};

use anyhow::Context as _;
use axum::Router;
use canary_admin::Admin;
use tokio::{net::TcpListener, signal, time};
use tower_canary::{CanaryHandle, Channel, Drain};

/// Serves HTTP/1, HTTP/2 and gRPC until `stop` completes, then waits up to [`GRACE`] for open
/// calls.
pub(crate) async fn until(
    stop: impl Future<Output = anyhow::Result<()>>,
    listener: TcpListener,
    app: Router,
    canary: &CanaryHandle,
    admin: Admin,
) -> anyhow::Result<()> {
    let (shutdown, requested) = tokio::sync::oneshot::channel::<()>();
    // The admin API needs to know that its callers are on this machine.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = requested.await;
    });
    let mut server = pin!(server.into_future());
    tokio::select! {
        served = &mut server => return served.context("cannot serve"),
        stopped = stop => stopped?,
    }
    drop(shutdown);
    // Open pages would keep the server from stopping.
    admin.stop();
    let drains = Channel::ALL.map(|channel| canary.drain(channel));
    let in_time = time::timeout(GRACE, async {
        let served = server.as_mut().await;
        for drain in &drains {
            drain.ended().await;
        }
        served
    });
    match in_time.await {
        Ok(served) => served.context("cannot serve"),
        Err(_) => {
            drains.iter().for_each(Drain::close);
            Ok(())
        }
    }
}

pub(crate) async fn stop_requested(after: Option<Duration>) -> anyhow::Result<()> {
    let timer = async {
        match after {
            Some(after) => time::sleep(after).await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        () = timer => Ok(()),
        interrupted = signal::ctrl_c() => Ok(interrupted?),
        terminated = terminated() => Ok(terminated?),
    }
}

#[cfg(unix)]
async fn terminated() -> io::Result<()> {
    signal::unix::signal(signal::unix::SignalKind::terminate())?.recv().await;
    Ok(())
}

#[cfg(not(unix))]
async fn terminated() -> io::Result<()> {
    future::pending().await
}

/// The time for open calls to end.
const GRACE: Duration = Duration::from_secs(5);
