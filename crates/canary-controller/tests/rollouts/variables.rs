//! Variables of a rollout: they are stored, replayed, merged by a promotion, and checked.

use canary_controller::{
    CommandError, RolloutHandle,
    store::{
        MemoryStore,
        testing::{FaultyStore, StoreFault},
    },
};
use canary_core::Channel;
use canary_rollout::{
    Actor, Command, Phase,
    variables::{VariablePatch, VariablePatches},
};
use serde::Deserialize;
use tower_canary::{CanaryOptions, Variables};

use crate::support::{Shop, controller, managed, order, tick};

const PLAN: &str = "steps = [{ weight = '10%', min_duration = '1m', min_calls = 10 }]";

#[derive(Deserialize)]
struct Settings {
    #[expect(dead_code, reason = "only its type matters")]
    limit: u32,
}

fn shop() -> Shop {
    let stage = Variables::new().with("backend", "b1").with("limit", 10);
    let overrides = Variables::new().with("backend", "b2");
    let options = CanaryOptions::new().variables(stage, overrides);
    Shop::with_options("v2", options.typed_variables::<Settings>())
}

fn overrides(patch: VariablePatch) -> VariablePatches {
    VariablePatches::of_overrides(patch)
}

async fn set(rollout: &RolloutHandle, patches: VariablePatches) -> Result<(), CommandError> {
    rollout.set_variables(Actor::person("ada"), patches, "another database").await.map(drop)
}

/// Returns the value that handlers of a channel see.
fn seen(shop: &Shop, channel: Channel, name: &str) -> Option<String> {
    shop.canary.variables(channel).get(name).map(ToString::to_string)
}

#[tokio::test(start_paused = true)]
async fn variables_survive_a_restart_with_actor_and_reason() {
    let store = MemoryStore::new();
    let (first, controller_of_first) = (shop(), controller(store.clone()));
    let rollout = controller_of_first.add(managed(&first, PLAN)).unwrap();
    tick(&first).await;
    let patch = VariablePatch::new().set("limit", 99).remove("backend");
    set(&rollout, overrides(patch)).await.unwrap();
    assert_eq!(seen(&first, Channel::Canary, "limit").as_deref(), Some("99"));
    assert_eq!(seen(&first, Channel::Canary, "backend").as_deref(), Some("\"b1\""));
    controller_of_first.stop().await;

    let (second, controller_of_second) = (shop(), controller(store));
    let rollout = controller_of_second.add(managed(&second, PLAN)).unwrap();
    tick(&second).await;
    assert_eq!(seen(&second, Channel::Canary, "limit").as_deref(), Some("99"));
    assert_eq!(seen(&second, Channel::Canary, "backend").as_deref(), Some("\"b1\""));
    assert_eq!(seen(&second, Channel::Stable, "limit").as_deref(), Some("10"));
    let status = rollout.status();
    let event = status.rollout.history().last().unwrap();
    assert_eq!(
        event.to_string(),
        "2026-11-24T09:00:02Z ada set the variables backend, limit of the canary, weight 0%: \
         another database"
    );
}

#[tokio::test(start_paused = true)]
async fn a_promotion_and_its_rollback_change_the_stage_and_a_restart_keeps_it() {
    let store = MemoryStore::new();
    let (first, controller_of_first) = (shop(), controller(store.clone()));
    let rollout = controller_of_first.add(managed(&first, PLAN)).unwrap();
    tick(&first).await;
    rollout.command(order(Command::Start)).await.unwrap();
    set(&rollout, overrides(VariablePatch::new().set("limit", 99))).await.unwrap();
    rollout.command(order(Command::PromoteFully)).await.unwrap();
    let stage_limit = VariablePatch::new().set("limit", 50);
    assert_eq!(seen(&first, Channel::Stable, "limit").as_deref(), Some("99"));
    controller_of_first.stop().await;

    let (second, controller_of_second) = (shop(), controller(store));
    let rollout = controller_of_second.add(managed(&second, PLAN)).unwrap();
    tick(&second).await;
    assert_eq!(rollout.status().rollout.phase(), Phase::Promoted);
    for name_and_value in [("limit", "99"), ("backend", "\"b2\"")] {
        let value = seen(&second, Channel::Stable, name_and_value.0);
        assert_eq!(value.as_deref(), Some(name_and_value.1));
    }
    set(&rollout, VariablePatches::of_stage(stage_limit)).await.unwrap();
    assert_eq!(seen(&second, Channel::Canary, "limit").as_deref(), Some("50"));

    rollout.command(order(Command::RollBack)).await.unwrap();
    assert_eq!(seen(&second, Channel::Stable, "limit").as_deref(), Some("50"));
    assert_eq!(seen(&second, Channel::Stable, "backend").as_deref(), Some("\"b1\""));
    assert_eq!(seen(&second, Channel::Canary, "backend").as_deref(), Some("\"b2\""));
}

#[tokio::test(start_paused = true)]
async fn another_replica_gets_the_variables() {
    let store = MemoryStore::new();
    let shops = [shop(), shop()];
    let controllers = [controller(store.clone()), controller(store)];
    let rollouts: Vec<_> = shops
        .iter()
        .zip(&controllers)
        .map(|(shop, controller)| controller.add(managed(shop, PLAN)).unwrap())
        .collect();
    tick(&shops[0]).await;
    set(&rollouts[0], overrides(VariablePatch::new().set("limit", 7))).await.unwrap();
    tick(&shops[1]).await;
    assert_eq!(seen(&shops[1], Channel::Canary, "limit").as_deref(), Some("7"));
}

#[tokio::test(start_paused = true)]
async fn variables_that_no_handler_can_read_are_refused_and_not_stored() {
    let (shop, controller) = (shop(), controller(MemoryStore::new()));
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    tick(&shop).await;
    let error = set(&rollout, overrides(VariablePatch::new().set("limit", "many"))).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "invalid variables for canary: limit: invalid type: string \"many\", expected u32"
    );
    assert!(rollout.status().rollout.variables().is_empty());
    assert_eq!(rollout.status().rollout.history().len(), 0);
    assert_eq!(seen(&shop, Channel::Canary, "limit").as_deref(), Some("10"));
}

#[tokio::test(start_paused = true)]
async fn variables_that_cannot_be_stored_do_not_take_effect() {
    let store = FaultyStore::new(MemoryStore::new());
    let (shop, controller) = (shop(), controller(store.clone()));
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    tick(&shop).await;
    store.fail_all(StoreFault::Unavailable);
    let error = set(&rollout, overrides(VariablePatch::new().set("limit", 7))).await;
    assert!(matches!(error, Err(CommandError::NotStored(_))), "{error:?}");
    assert_eq!(seen(&shop, Channel::Canary, "limit").as_deref(), Some("10"));
}
