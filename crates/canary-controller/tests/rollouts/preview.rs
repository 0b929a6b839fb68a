//! The effect of a command, before it is given.

use std::sync::Arc;

use canary_controller::store::MemoryStore;
use canary_rollout::{
    Command,
    outlook::{Promotion, Traffic},
};
use http::Request;
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{CanaryLayer, CanaryOptions};

use crate::support::{Shop, controller, managed, order, plan, tick};

#[tokio::test(start_paused = true)]
async fn a_preview_counts_the_open_calls_and_changes_nothing() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let v2 = service_fn(move |_: Request<()>| {
        let waiting = Arc::clone(&waiting);
        async move {
            let _permit = waiting.acquire_owned().await;
            Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
        }
    });
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options("shop", v2.clone(), options);
    let plan = plan("steps = [{ weight = '99.9999%', min_duration = '1h' }]");
    let controller = controller(MemoryStore::new());
    let managed = canary_controller::Managed::new(layer.handle(), plan);
    let rollout = controller.add(managed).unwrap();
    rollout.watch().wait_for(|status| status.load_error.is_none()).await.unwrap();
    rollout.command(order(Command::Start)).await.unwrap();

    let calls: Vec<_> =
        (0..3).map(|_| tokio::spawn(layer.layer(v2.clone()).oneshot(Request::new(())))).collect();
    tokio::task::yield_now().await;
    let open = layer.handle().open(tower_canary::Channel::Canary);
    assert_eq!(
        rollout.preview(&Command::RollBack).unwrap().to_string(),
        format!(
            "The next call is served by v1. {open} open calls of v2 are asked to end. Only a new \
             start raises the weight again."
        )
    );
    assert!(open >= 2, "{open} of 3 calls are on the canary");
    assert_eq!(layer.handle().weight(), "99.9999%".parse().unwrap());
    let unchanged = rollout.preview(&Command::Resume).unwrap();
    assert_eq!(unchanged.to_string(), "Nothing changes: the rollout is not paused.");
    gate.add_permits(3);
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_outlook_is_that_of_the_current_status() {
    let shop = Shop::new("v2");
    let controller = controller(MemoryStore::new());
    let plan = "steps = [{ weight = '10%', min_duration = '10m' }]";
    let rollout = controller.add(managed(&shop, plan)).unwrap();
    tick(&shop).await;
    rollout.command(order(Command::Start)).await.unwrap();
    tick(&shop).await;
    let traffic = Traffic::try_new(2_000.0, Some(0.01)).unwrap();
    let outlook = rollout.outlook_at(&traffic);
    let status = rollout.status();
    assert_eq!(outlook, status.rollout.outlook(status.at, &traffic));
    assert!(matches!(outlook.promotion, Promotion::At(_)), "{outlook}");
}
