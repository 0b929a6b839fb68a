//! Calls to both channels over a socket, and the expected content of the files.

use std::{
    convert::Infallible,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use separate_logs::{Format, app, install, options, v2};
use tokio::{net::TcpListener, runtime::Handle, sync::oneshot};
use tower::Service;
use tower_canary::{CanaryLayer, Channel, PerChannel, Weight};

/// Version 2 with a switch for its readiness.
#[derive(Clone)]
struct SwitchableReadiness {
    v2: Router,
    is_ready: Arc<AtomicBool>,
}

impl Service<Request> for SwitchableReadiness {
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self.is_ready.load(Ordering::SeqCst) {
            true => Service::<Request>::poll_ready(&mut self.v2, cx),
            // No waker is needed: the layer polls once and spills.
            false => Poll::Pending,
        }
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.v2.call(request)
    }
}

/// Calls the app and returns the lines of both files.
///
/// Each channel gets one item (1 for stable, 2 for the canary) and one export. The canary also gets
/// item 13, which panics, and item 77, which spills.
pub(crate) async fn lines_of_calls(format: Format) -> PerChannel<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let logs = install(directory.path(), format).unwrap();
    let is_ready = Arc::new(AtomicBool::new(true));
    let canary = SwitchableReadiness { v2: v2(), is_ready: Arc::clone(&is_ready) };
    let layer = CanaryLayer::with_options("items", canary, options());
    let handle = layer.handle();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app(&layer).into_make_service())
        .with_graceful_shutdown(async { _ = stopped.await });
    let server = tokio::spawn(async { server.await.unwrap() });
    let get = async |path: &str| {
        let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
        let response =
            client.get(format!("http://{address}{path}").parse().unwrap()).await.unwrap();
        let status = response.status().as_u16();
        axum::body::to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
        status
    };

    assert_eq!(get("/items/1").await, 200);
    assert_eq!(get("/export").await, 200);
    // At full weight no call would spill. Here one call in a million goes to stable.
    handle.set_weight(Weight::from_ppm(999_999)).unwrap();
    assert_eq!(get("/items/2").await, 200);
    assert_eq!(get("/export").await, 200);
    assert_eq!(get("/items/13").await, 500);
    is_ready.store(false, Ordering::SeqCst);
    assert_eq!(get("/items/77").await, 200);

    stop.send(()).unwrap();
    server.await.unwrap();
    all_tasks_ended().await;
    drop(logs);
    PerChannel::from_fn(|channel| lines_in(directory.path(), channel))
}

/// Waits for the tasks that handlers spawned.
async fn all_tasks_ended() {
    let runtime = Handle::current().metrics();
    let ended = async {
        while runtime.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
}

/// Returns the messages and access log paths in a channel's file, and how often each occurs.
pub(crate) fn expected(channel: Channel) -> &'static [(&'static str, usize)] {
    match channel {
        Channel::Stable => &[
            ("looked up", 2),
            ("remembered", 2),
            ("exported", 3),
            ("/items/1", 1),
            ("/items/77", 1),
            ("/export", 1),
        ],
        Channel::Canary => &[
            ("looked up", 1),
            ("remembered", 1),
            ("exported", 3),
            ("/items/2", 1),
            ("/items/13", 1),
            ("/export", 1),
        ],
    }
}

fn lines_in(directory: &Path, channel: Channel) -> Vec<String> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    // There are two files if the date has changed.
    let files = files.filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(channel.as_str()) && name.ends_with(".log")
    });
    files
        .flat_map(|path| {
            fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}
