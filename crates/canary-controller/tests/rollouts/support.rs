//! A canary whose calls, time and sickness a test decides.

pub(crate) mod test_store;

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use canary_controller::{Clock, Controller, Managed, RolloutHandle, store::StateStore};
use canary_rollout::{Phase, Plan, Timestamp};
use http::{Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_canary::{CanaryHandle, CanaryLayer, CanaryOptions};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

pub(crate) type Service = BoxCloneSyncService<Request<()>, Response<String>, Infallible>;

/// Two channels, each of which fails the share of calls that it is told to, in permille.
pub(crate) struct Shop {
    pub(crate) canary: CanaryHandle,
    pub(crate) failing: [Arc<AtomicU32>; 2],
    layer: CanaryLayer<Service>,
    stable: Service,
}

impl Shop {
    pub(crate) fn new(release: &'static str) -> Self {
        Self::with_options(release, CanaryOptions::new())
    }

    pub(crate) fn with_options(release: &'static str, options: CanaryOptions) -> Self {
        let failing = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
        let [stable, canary] = ["stable", "canary"].map(|channel| {
            service(Arc::clone(&failing[usize::from(channel == "canary")]), channel)
        });
        let options = options.stable_release("v1").canary_release(release);
        let layer = CanaryLayer::with_options("shop", canary, options);
        Self { canary: layer.handle(), failing, layer, stable }
    }

    pub(crate) fn fail_canary(&self, permille: u32) {
        self.failing[1].store(permille, Ordering::Relaxed);
    }

    pub(crate) async fn calls(&self, calls: u32) {
        for _ in 0..calls {
            self.call(Request::new(())).await;
        }
    }

    /// One call. Channels that its header `x-fail` names fail it.
    pub(crate) async fn call(&self, request: Request<()>) {
        let service = self.layer.layer(self.stable.clone());
        let response = service.oneshot(request).await.unwrap();
        http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    }
}

/// Fails so many of a thousand calls, evenly, and those that are to fail.
fn service(permille: Arc<AtomicU32>, channel: &'static str) -> Service {
    let calls = Arc::new(AtomicU32::new(0));
    Service::new(service_fn(move |request: Request<()>| {
        let permille = permille.load(Ordering::Relaxed);
        let call = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            let is_told = request.headers().get("x-fail");
            let fails = call * permille / 1000 != (call + 1) * permille / 1000
                || is_told.is_some_and(|channels| channels.to_str().unwrap().contains(channel));
            let mut response = Response::new("answer".to_owned());
            if fails {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            Ok(response)
        }
    }))
}

/// A clock that goes with Tokio's, paused or not.
pub(crate) fn clock() -> Clock {
    let (start, began): (Timestamp, _) =
        ("2026-11-24T09:00:00Z".parse().unwrap(), tokio::time::Instant::now());
    Clock::from_fn(move || start + began.elapsed())
}

pub(crate) fn controller(store: impl StateStore) -> Controller {
    Controller::new(store).clock(clock())
}

pub(crate) fn plan(toml: &str) -> Plan {
    Plan::from_toml(toml).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn managed(shop: &Shop, toml: &str) -> Managed {
    Managed::new(shop.canary.clone(), plan(toml))
}

/// Lets time pass, with so many calls a second, until the rollout is in the phase.
pub(crate) async fn until(shop: &Shop, rollout: &RolloutHandle, phase: Phase, calls: u32) {
    for _ in 0..7_200 {
        if rollout.status().rollout.phase() == phase {
            return;
        }
        second(shop, calls).await;
    }
    panic!("it is {} after two hours, and not {phase}", rollout.status().summary);
}

/// Lets the controller look once more.
pub(crate) async fn tick(shop: &Shop) {
    second(shop, 1).await;
    second(shop, 0).await;
}

pub(crate) async fn second(shop: &Shop, calls: u32) {
    shop.calls(calls).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// What is logged at this level from now on, on this thread, while the guard is there.
pub(crate) fn logged(level: tracing::Level) -> (DefaultGuard, Arc<Mutex<Vec<String>>>) {
    let said = Arc::<Mutex<Vec<String>>>::default();
    let layer = Logged(level, Arc::clone(&said));
    let subscriber = tracing_subscriber::registry().with(layer);
    (tracing::subscriber::set_default(subscriber), said)
}

struct Logged(tracing::Level, Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Logged {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if *event.metadata().level() == self.0 {
            event.record(&mut |_: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                self.1.lock().unwrap().push(format!("{value:?}"));
            });
        }
    }
}
