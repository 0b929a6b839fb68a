//! Calls to both channels over a socket, and what of them is in which file.

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

/// Version 2, which at times is not ready.
#[derive(Clone)]
struct Moody {
    v2: Router,
    is_ready: Arc<AtomicBool>,
}

impl Service<Request> for Moody {
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self.is_ready.load(Ordering::SeqCst) {
            true => Service::<Request>::poll_ready(&mut self.v2, cx),
            // Nobody is woken: the layer asks once, and spills.
            false => Poll::Pending,
        }
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.v2.call(request)
    }
}

/// Calls the app, and returns the lines of stable's file and of the canary's.
///
/// On each channel an item and an export; on the canary item 13, too, over which it panics; and item 77,
/// which is the canary's but spills. The item's id is the channel's own: 1 on stable, 2 on the canary.
pub(crate) async fn lines_of_calls(format: Format) -> PerChannel<Vec<String>> {
    let directory = tempfile::tempdir().unwrap();
    let logs = install(directory.path(), format).unwrap();
    let is_ready = Arc::new(AtomicBool::new(true));
    let canary = Moody { v2: v2(), is_ready: Arc::clone(&is_ready) };
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
    // At full weight nothing spills. One call in a million is stable's.
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

/// Waits for the tasks that handlers left behind.
async fn all_tasks_ended() {
    let runtime = Handle::current().metrics();
    let ended = async {
        while runtime.num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
}

/// Which messages, or paths in the access log, are in a channel's file how often.
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
    // Two, if the day changed meanwhile.
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
