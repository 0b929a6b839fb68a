//! A canary with simulated calls, failures and time.

pub(crate) mod process;
pub(crate) mod stored;

use std::{
    convert::Infallible,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use canary_controller::{Clock, Controller, Managed, RolloutHandle, store::StateStore};
use canary_rollout::{Actor, Command, Order, Phase, Plan, Timestamp};
use http::{Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions,
    select::{Incoming, Select, Selection, StickyKey},
};
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber},
};
use tracing_subscriber::layer::SubscriberExt;

/// Options under which the calls have the same channels in each run of a test.
pub(crate) fn options() -> CanaryOptions {
    CanaryOptions::new().select(Numbered::default())
}

/// Assigns calls by their number. They count as calls that are assigned at random.
#[derive(Default)]
pub(crate) struct Numbered(AtomicU32);

impl Select for Numbered {
    fn select(&self, _: &Incoming<'_>) -> Option<Selection> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Some(Selection::sticky(StickyKey::new("calls", number.to_le_bytes())))
    }

    /// No call has the key of another one.
    fn may_be_sticky(&self) -> bool {
        false
    }
}

pub(crate) type Service = BoxCloneSyncService<Request<()>, Response<String>, Infallible>;

/// A split service. `failing` is the share of calls that each channel fails, in per mille.
pub(crate) struct Shop {
    pub(crate) canary: CanaryHandle,
    pub(crate) failing: [Arc<AtomicU32>; 2],
    layer: CanaryLayer<Service>,
    stable: Service,
}

impl Shop {
    pub(crate) fn new(release: &'static str) -> Self {
        Self::with_options(release, options())
    }

    pub(crate) fn with_options(release: &'static str, options: CanaryOptions) -> Self {
        Self::with_releases("v1", release, options)
    }

    pub(crate) fn with_releases(
        stable_release: &'static str,
        canary_release: &'static str,
        options: CanaryOptions,
    ) -> Self {
        let failing = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
        let [stable, canary] = ["stable", "canary"].map(|channel| {
            service(Arc::clone(&failing[usize::from(channel == "canary")]), channel)
        });
        let options = options.stable_release(stable_release).canary_release(canary_release);
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

    /// Makes a call. The channels in its header `x-fail` fail it.
    pub(crate) async fn call(&self, request: Request<()>) {
        let service = self.layer.layer(self.stable.clone());
        let response = service.oneshot(request).await.unwrap();
        http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    }
}

impl Shop {
    /// Makes a call of a user, and returns its assignment.
    pub(crate) async fn assignment(&self, user: &str) -> Assignment {
        let request = Request::get("/").header("x-user-id", user).body(()).unwrap();
        let service = self.layer.layer(self.stable.clone());
        let response = service.oneshot(request).await.unwrap();
        response.extensions().get::<Assignment>().unwrap().clone()
    }
}

/// Fails the share `permille` of calls, evenly distributed, and the calls with a matching `x-fail`.
/// Calls with `x-hang` have no answer.
fn service(permille: Arc<AtomicU32>, channel: &'static str) -> Service {
    let calls = Arc::new(AtomicU32::new(0));
    Service::new(service_fn(move |request: Request<()>| {
        let permille = permille.load(Ordering::Relaxed);
        let call = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            if request.headers().contains_key("x-hang") {
                std::future::pending::<()>().await;
            }
            let x_fail = request.headers().get("x-fail");
            let fails = call * permille / 1000 != (call + 1) * permille / 1000
                || x_fail.is_some_and(|channels| channels.to_str().unwrap().contains(channel));
            let mut response = Response::new("answer".to_owned());
            if fails {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            Ok(response)
        }
    }))
}

/// A clock that follows Tokio's, which may be paused.
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

/// An order of the operator ada.
pub(crate) fn order(command: Command) -> Order {
    Order::new(command, Actor::person("ada"), "because")
}

pub(crate) fn managed(shop: &Shop, toml: &str) -> Managed {
    Managed::new(shop.canary.clone(), plan(toml))
}

/// Lets time pass, with `calls` calls per second, until the rollout reaches the phase.
pub(crate) async fn until(shop: &Shop, rollout: &RolloutHandle, phase: Phase, calls: u32) {
    for _ in 0..7_200 {
        if rollout.status().rollout.phase() == phase {
            return;
        }
        second(shop, calls).await;
    }
    panic!("expected phase {phase} within two hours, got: {}", rollout.status().summary);
}

/// Lets the controller tick.
pub(crate) async fn tick(shop: &Shop) {
    second(shop, 1).await;
    second(shop, 0).await;
}

pub(crate) async fn second(shop: &Shop, calls: u32) {
    shop.calls(calls).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Collects the log messages of this level on this thread, until the guard is dropped.
pub(crate) fn logged(level: tracing::Level) -> (DefaultGuard, Arc<Mutex<Vec<String>>>) {
    LazyLock::force(&SECOND_SUBSCRIBER);
    let messages = Arc::<Mutex<Vec<String>>>::default();
    let layer = Logged(level, Arc::clone(&messages));
    let subscriber = tracing_subscriber::registry().with(layer);
    (tracing::subscriber::set_default(subscriber), messages)
}

/// With a single subscriber, tracing asks only the thread that is the first to reach an event whether
/// anyone wants it. A test without a subscriber would silence it for all.
static SECOND_SUBSCRIBER: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

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
