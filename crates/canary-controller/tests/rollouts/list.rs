//! The list of a controller's rollouts.

use canary_controller::{Managed, store::MemoryStore};
use tower_canary::{CanaryLayer, CanaryOptions};

use crate::support::controller;

fn by_hand(name: &str) -> Managed {
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    Managed::by_hand(CanaryLayer::with_options(name, (), options).handle())
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_rollouts_that_are_added_later_and_outlives_the_controller() {
    let controller = controller(MemoryStore::new());
    let rollouts = controller.rollouts();
    let mut list = rollouts.clone().watch();
    assert!(list.has_changed().unwrap());
    assert!(list.borrow_and_update().is_empty());

    controller.add(by_hand("shop")).unwrap();
    list.changed().await.unwrap();
    controller.add(by_hand("search")).unwrap();
    list.changed().await.unwrap();
    let names = |all: &[canary_controller::RolloutHandle]| {
        all.iter().map(|it| it.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&list.borrow_and_update()), ["search", "shop"]);
    assert_eq!(names(&rollouts.all()), ["search", "shop"]);
    assert_eq!(rollouts.get("shop").unwrap().name().as_str(), "shop");
    assert!(rollouts.get("cart").is_none());

    controller.stop().await;
    assert!(list.changed().await.is_err(), "the controller has stopped");
    assert_eq!(names(&rollouts.all()), ["search", "shop"]);
    assert!(!rollouts.get("shop").unwrap().is_running());
}
