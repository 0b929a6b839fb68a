//! What the status shows of the data plane.

use canary_controller::store::MemoryStore;
use canary_core::{Channel, PerChannel};
use canary_rollout::{Command, outlook::Promotion};
use http::{HeaderName, Request, Response, StatusCode};
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{CanaryLayer, CanaryOptions};

use crate::support::{Shop, controller, managed, order, plan, second, tick};

/// No call of the canary fails, so that the judge has nothing to act on.
const PLAN: &str = r#"
steps = [{ weight = "50%", min_duration = "1h", min_calls = 10 }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

#[tokio::test(start_paused = true)]
async fn the_traffic_is_that_of_the_last_minute_and_gives_the_outlook() {
    let shop = Shop::new("v2");
    shop.failing[0].store(100, std::sync::atomic::Ordering::Relaxed);
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    tick(&shop).await;
    rollout.command(order(Command::Start)).await.unwrap();
    assert!(rollout.traffic().is_none() && rollout.outlook().is_none());
    for _ in 0..60 {
        second(&shop, 40).await;
    }
    let traffic = rollout.traffic().unwrap();
    assert!((traffic.calls_per_second - 40.0).abs() < 4.0, "{traffic:?}");
    let rate = traffic.failure_rate.unwrap();
    assert!((rate - 0.1).abs() < 0.01, "{rate}");
    let outlook = rollout.outlook().unwrap();
    assert!(matches!(outlook.promotion, Promotion::At(_)), "{outlook}");
    assert_eq!(outlook, rollout.outlook_at(&traffic));

    // The traffic of a minute ago is forgotten, and its failures are not.
    for _ in 0..75 {
        second(&shop, 2).await;
    }
    let traffic = rollout.traffic().unwrap();
    assert!((traffic.calls_per_second - 2.0).abs() < 0.5, "{traffic:?}");
    let rate = traffic.failure_rate.unwrap();
    assert!((rate - 0.1).abs() < 0.01, "{rate}");

    shop.failing[0].store(0, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..700 {
        second(&shop, 2).await;
    }
    assert_eq!(rollout.traffic().unwrap().failure_rate, Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn the_failure_rate_is_unknown_without_a_success_of_stable() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    for _ in 0..15 {
        second(&shop, 0).await;
    }
    let traffic = rollout.traffic().unwrap();
    assert_eq!((traffic.calls_per_second, traffic.failure_rate), (0.0, None));
    shop.failing[0].store(1000, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..15 {
        second(&shop, 10).await;
    }
    let traffic = rollout.traffic().unwrap();
    assert!(traffic.calls_per_second > 1.0 && traffic.failure_rate.is_none(), "{traffic:?}");
}

#[tokio::test(start_paused = true)]
async fn the_status_has_the_share_the_open_calls_and_the_client_made_outcomes() {
    let x_wait = HeaderName::from_static("x-wait");
    let service = move |gate: std::sync::Arc<tokio::sync::Semaphore>| {
        let x_wait = x_wait.clone();
        service_fn(move |request: Request<()>| {
            let (gate, waits) = (gate.clone(), request.headers().contains_key(&x_wait));
            async move {
                if waits {
                    let _permit = gate.acquire().await;
                }
                let mut response = Response::new(String::new());
                if request.uri().path() == "/missing" {
                    *response.status_mut() = StatusCode::NOT_FOUND;
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        })
    };
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options("shop", service(gate.clone()), options);
    let controller = controller(MemoryStore::new());
    let managed = canary_controller::Managed::new(layer.handle(), plan(PLAN));
    let rollout = controller.add(managed).unwrap();
    rollout.watch().wait_for(|status| status.load_error.is_none()).await.unwrap();
    assert_eq!(rollout.status().share(), None);
    rollout.command(order(Command::Start)).await.unwrap();

    let call = |path: &str, waits: bool| {
        let mut request = Request::get(path);
        if waits {
            request = request.header("x-wait", "");
        }
        let split = layer.layer(service(gate.clone()));
        tokio::spawn(split.oneshot(request.body(()).unwrap()))
    };
    for _ in 0..100 {
        call("/missing", false).await.unwrap().unwrap();
    }
    let open: Vec<_> = (0..20).map(|_| call("/", true)).collect();
    tokio::task::yield_now().await;
    let mut statuses = rollout.watch();
    statuses.changed().await.unwrap();
    statuses.changed().await.unwrap();

    let status = rollout.status();
    let handle = layer.handle();
    assert_eq!(status.open, PerChannel::from_fn(|channel| handle.open(channel)));
    assert_eq!(status.open.stable + status.open.canary, 20);
    let evidence = handle.counts().total().evidence;
    assert_eq!(status.sources.client_made, PerChannel::from_fn(|it| evidence[it].client_made));
    let missing: u64 = Channel::ALL.iter().map(|it| status.sources.client_made[*it]).sum();
    assert_eq!(missing, 100);
    let share = status.share().unwrap();
    assert!(share > 0.2 && share < 0.8, "{share}");

    // They begin again at another weight.
    let weight = "40%".parse().unwrap();
    rollout.command(order(Command::SetWeight { weight })).await.unwrap();
    let status = rollout.status();
    assert_eq!((status.share(), status.sources.client_made), (None, PerChannel::default()));
    gate.add_permits(100);
    for call in open {
        call.await.unwrap().unwrap();
    }
}
