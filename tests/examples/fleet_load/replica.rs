use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use canary_controller::{Controller, Managed, Plan, RolloutHandle};
use http::{Request, Response, StatusCode};
use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    task,
};
use tower::{Layer as _, ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_canary::{CanaryLayer, CanaryOptions};

use crate::{
    engine::StoreUrl,
    traffic::{CountingStore, Traffic},
};

type Version = BoxCloneSyncService<Request<()>, Response<String>, Infallible>;

/// A thread with a controller. Its calls are made elsewhere.
pub(crate) struct Replica {
    pub(crate) rollout: RolloutHandle,
    layer: CanaryLayer<Version>,
    stable: Version,
    stop: oneshot::Sender<()>,
    stopped: mpsc::UnboundedReceiver<()>,
}

impl Replica {
    pub(crate) async fn start(number: u32, url: StoreUrl, traffic: Arc<Traffic>) -> Self {
        let (stable, canary) = (version(), version());
        let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
        let layer = CanaryLayer::with_options("shop", canary, options);
        let handle = layer.handle();
        let (started, start) = oneshot::channel();
        let (stop, stopping) = oneshot::channel();
        let (end, stopped) = mpsc::unbounded_channel();
        let run = move || {
            let mut runtime = runtime::Builder::new_current_thread();
            // The threads for files count as those of the replica.
            runtime.thread_name(name(number)).thread_keep_alive(Duration::from_secs(3600));
            runtime.enable_all().build().expect("a runtime").block_on(async {
                let store = CountingStore::new(url.open().await, traffic);
                let controller = Controller::new(store);
                let plan = Plan::from_toml(PLAN).expect("the plan is valid");
                let rollout = controller.add(Managed::new(handle, plan)).expect("a new canary");
                let _ = started.send(rollout);
                let _ = stopping.await;
                controller.stop().await;
                drop(end);
            });
        };
        thread::Builder::new().name(name(number)).spawn(run).expect("a thread");
        let rollout = start.await.expect("the replica starts");
        let mut status = rollout.watch();
        let loaded = status.wait_for(|status| status.load_error.is_none()).await;
        drop(loaded.expect("the controller runs"));
        Self { rollout, layer, stable, stop, stopped }
    }

    /// Makes calls, which end some time later.
    pub(crate) fn call(&self, count: usize) {
        for _ in 0..count {
            let service = self.layer.layer(self.stable.clone());
            task::spawn(async move {
                let response = service.oneshot(Request::new(())).await.expect("no error");
                // Ends the call.
                drop(http_body_util::BodyExt::collect(response.into_body()).await);
            });
        }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop);
        self.stopped.recv().await;
    }
}

/// Returns the name of the replica's threads, which Linux limits to 15 bytes.
pub(crate) fn name(number: u32) -> String {
    format!("replica-{number}")
}

/// Returns a version whose calls take between 1 ms and 100 ms, and one in a hundred fails.
fn version() -> Version {
    let calls = AtomicU64::new(0);
    let calls = Arc::new(calls);
    Version::new(service_fn(move |_| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            let exponent = i32::try_from(call % 48).expect("small");
            tokio::time::sleep(Duration::from_secs_f64(0.001 * 1.1_f64.powi(exponent))).await;
            let mut response = Response::new("done".to_owned());
            if call % 101 == 100 {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            Ok(response)
        }
    }))
}

/// Five weights, and the monitors of a usual plan.
const PLAN: &str = r#"
warm_up = "0s"
steps = [
    { weight = "1%", min_duration = "10h", deadline = "20h" },
    { weight = "5%", min_duration = "10h", deadline = "20h" },
    { weight = "10%", min_duration = "10h", deadline = "20h" },
    { weight = "25%", min_duration = "10h", deadline = "20h" },
    { weight = "50%", min_duration = "10h", deadline = "20h" },
]
monitors = [{ measure = "failures" }, { measure = { slower_than_stable = { quantile = 0.9 } } }]
"#;
