//! Changes of the store by other replicas and by operators.

use std::fs;

use canary_controller::store::testing::StoreFault;
use canary_controller::{
    CommandError, RolloutHandle,
    store::{Document, FileStore, StateStore, StoreKey, Swap},
};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Order, Phase, Rollout};

use crate::support::{
    Shop, controller, managed, order, second,
    stored::{
        TestStore, rollout_key, store_as_replica, stored, stored_events, stored_phase, test_store,
    },
    tick, until,
};

const PLAN: &str = r#"
steps = [{ weight = "10%", min_duration = "1h", min_calls = 100 }, { weight = "50%", min_duration = "1h", min_calls = 100 }]
monitors = [{ measure = "failures" }, { measure = "share", role = "watches" }]
"#;

async fn running(shop: &Shop, rollout: &RolloutHandle) {
    rollout.start(Actor::person("ada"), "").await.unwrap();
    until(shop, rollout, Phase::Running, 0).await;
}

/// The stored rollout after a command to another replica.
async fn commanded(store: &TestStore, command: Command) -> Rollout {
    let (mut rollout, _) = stored(store).await.unwrap();
    let at = rollout.history().last().unwrap().at;
    rollout.command(at, &Order::new(command, Actor::person("eve"), "")).unwrap();
    rollout
}

#[tokio::test(start_paused = true)]
async fn a_rollout_stored_by_another_replica_is_applied_and_its_events_are_not_appended_again() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    running(&shop, &rollout).await;
    let appended = stored_events(&store).await.len();
    store_as_replica(&store, &commanded(&store, Command::SkipStep).await).await;
    tick(&shop).await;
    assert_eq!(shop.canary.weight(), Weight::from_percent(50));
    assert_eq!(stored_events(&store).await.len(), appended);
    rollout.command(order(Command::Pause)).await.unwrap();
    assert_eq!(stored_events(&store).await.len(), appended + 1);
}

#[tokio::test(start_paused = true)]
async fn a_removed_document_is_stored_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).await.unwrap();
    let shop = Shop::new("v2");
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    running(&shop, &rollout).await;
    rollout.command(order(Command::Halt)).await.unwrap();
    fs::remove_file(directory.path().join("default.v1.rollouts.shop.json")).unwrap();
    // A halted rollout has no progress to save.
    for _ in 0..90 {
        second(&shop, 1).await;
    }
    let found = store.load(&rollout_key()).await.unwrap().unwrap();
    let rollout: Rollout = serde_json::from_str(found.document.as_str()).unwrap();
    assert_eq!(rollout.phase(), Phase::Halted);
}

#[tokio::test(start_paused = true)]
async fn a_restored_backup_does_not_raise_the_weight_and_pauses_the_plan() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    running(&shop, &rollout).await;
    rollout.command(order(Command::SkipStep)).await.unwrap();
    let backup = stored(&store).await.unwrap().0;
    let lower = Command::SetWeight { weight: Weight::from_percent(3) };
    rollout.command(order(lower)).await.unwrap();
    for _ in 0..20 {
        second(&shop, 10).await;
    }
    let epochs = shop.canary.counts().epochs.len();
    store_as_replica(&store, &backup).await;
    for _ in 0..20 {
        second(&shop, 10).await;
    }
    let status = rollout.status();
    assert_eq!(shop.canary.weight(), Weight::from_percent(3), "{}", status.summary);
    assert_eq!(status.rollout.phase(), Phase::Paused);
    assert!(status.summary.contains("went back"), "{}", status.summary);
    let counts = shop.canary.counts();
    assert!(counts.epochs.iter().skip(epochs).all(|it| it.weight <= Weight::from_percent(3)));
}

#[tokio::test(start_paused = true)]
async fn a_restored_backup_of_a_promotion_does_not_undo_a_rollback() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    running(&shop, &rollout).await;
    rollout.command(order(Command::PromoteFully)).await.unwrap();
    let backup = stored(&store).await.unwrap().0;
    rollout.command(order(Command::RollBack)).await.unwrap();
    store_as_replica(&store, &backup).await;
    tick(&shop).await;
    assert_eq!(shop.canary.weight(), Weight::ZERO);
    assert_eq!(stored_phase(&store).await, Phase::RolledBack);
}

#[tokio::test(start_paused = true)]
async fn two_controllers_on_one_store_execute_each_command_once() {
    let store = test_store();
    let shops = [Shop::new("v2"), Shop::new("v2")];
    let controllers = [controller(store.clone()), controller(store.clone())];
    let rollouts = [0, 1].map(|n: usize| controllers[n].add(managed(&shops[n], PLAN)).unwrap());
    running(&shops[0], &rollouts[0]).await;
    for round in 0..40 {
        let command = if round % 2 == 0 { Command::Pause } else { Command::Resume };
        rollouts[round / 2 % 2].command(order(command)).await.unwrap();
        for shop in &shops {
            second(shop, 10).await;
        }
    }
    let stored = stored(&store).await.unwrap().0;
    let appended = stored_events(&store).await;
    assert!(appended.iter().eq(stored.history()), "{appended:#?}");
    assert_eq!(appended.len(), 42);
    // Each replica counts its own calls. The time counts once.
    let progress = stored.state().progress().unwrap();
    assert!(progress.ticked.as_secs() <= 80, "{progress:?}");
    rollouts[1].command(order(Command::RollBack)).await.unwrap();
    tick(&shops[0]).await;
    assert_eq!(shops[0].canary.weight(), Weight::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_build_does_not_apply_the_weight_of_another_build() {
    let store = test_store();
    let old = Shop::new("v2");
    let (first, next) = (controller(store.clone()), controller(store.clone()));
    let old_rollout = first.add(managed(&old, PLAN)).unwrap();
    running(&old, &old_rollout).await;

    let new = Shop::new("v3");
    let new_rollout = next.add(managed(&new, PLAN)).unwrap();
    for _ in 0..30 {
        second(&old, 10).await;
        assert_eq!(old.canary.weight(), Weight::from_percent(10), "v2 is driven");
        assert_eq!(new.canary.weight(), Weight::ZERO);
    }
    running(&new, &new_rollout).await;
    tick(&old).await;
    for _ in 0..30 {
        second(&old, 10).await;
        assert_eq!(old.canary.weight(), Weight::ZERO);
        assert_eq!(new.canary.weight(), Weight::from_percent(10));
    }
    let error = old_rollout.command(order(Command::SkipStep)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the stored rollout is for canary v3 and stable v1, but this process runs other releases"
    );
    assert!(matches!(error, CommandError::OtherReleases(_)));
    first.stop().await;
    assert_eq!(stored(&store).await.unwrap().0.releases().canary.as_str(), "v3");
    assert_eq!(new_rollout.status().rollout.phase(), Phase::Running);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_continues_if_its_evidence_cannot_be_stored() {
    for fault in [StoreFault::Refused, StoreFault::Corrupt] {
        let (store, shop) = (test_store(), Shop::new("v2"));
        store.only_keys_with("evidence");
        store.fail_all(fault);
        let plan = r#"steps = [{ weight = "10%", min_duration = "10s", min_calls = 1 }, { weight = "20%" }]"#;
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, plan)).unwrap();
        // Faults of loads apply to all keys, so the rollout has to be stored first.
        store.recover();
        tick(&shop).await;
        store.fail_changes(0..usize::MAX, fault);
        running(&shop, &rollout).await;
        for _ in 0..20 {
            second(&shop, 10).await;
        }
        assert_eq!(shop.canary.weight(), Weight::from_percent(20), "{fault:?}");
        rollout.command(order(Command::RollBack)).await.unwrap();
        assert_eq!(stored_phase(&store).await, Phase::RolledBack);
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_not_a_rollout_is_not_replaced() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let document = Document::try_new(r#"{"schema":2}"#).unwrap();
    let key = rollout_key();
    let swap = store.inner().compare_and_swap(&key, None, &document).await.unwrap();
    assert!(matches!(swap, Swap::Done(_)));
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
    for _ in 0..20 {
        second(&shop, 10).await;
    }
    rollout.command(order(Command::RollBack)).await.unwrap();
    let status = rollout.status();
    let error = status.load_error.clone().unwrap();
    assert!(error.contains("schema version 2, expected 1"), "{error}");
    let summary = format!("the stored rollout is not loaded, the weight stays: {error}");
    assert_eq!(status.summary, summary);
    assert_eq!(store.inner().load(&key).await.unwrap().unwrap().document, document);
    assert_eq!(shop.canary.weight(), Weight::ZERO);
}

#[tokio::test]
async fn a_corrupt_file_is_named_and_does_not_look_like_an_idle_rollout() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).await.unwrap();
    let swap =
        store.compare_and_swap(&rollout_key(), None, &Document::try_new("{}").unwrap()).await;
    assert!(matches!(swap.unwrap(), Swap::Done(_)));
    let mut files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    fs::write(&file, b"\xff\xfe").unwrap();

    let shop = Shop::new("v2");
    let controller = controller(store);
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    let path = file.display().to_string();
    let mut status = rollout.watch();
    let status = status.wait_for(|status| status.summary.contains(&path)).await.unwrap();
    assert!(status.summary.starts_with("the stored rollout is not loaded"), "{}", status.summary);
}

#[tokio::test(start_paused = true)]
async fn a_stored_rollout_that_was_edited_puts_no_weight_into_force() {
    let edits = [
        ("name", serde_json::json!("other"), "it is the one of canary other"),
        ("weight", serde_json::json!("50%"), "running at weight 50%, expected at most 10%"),
        ("weight", serde_json::json!("100%"), "running at weight 100%, expected at most 10%"),
    ];
    for (field, value, expected) in edits {
        let (store, shop) = (test_store(), Shop::new("v2"));
        let first = controller(store.clone());
        let rollout = first.add(managed(&shop, PLAN)).unwrap();
        running(&shop, &rollout).await;
        first.stop().await;
        let (rollout, revision) = stored(&store).await.unwrap();
        let mut edited = serde_json::to_value(&rollout).unwrap();
        edited[field] = value;
        let edited = Document::try_new(edited.to_string()).unwrap();
        let swap = store.inner().compare_and_swap(&rollout_key(), Some(&revision), &edited).await;
        assert!(matches!(swap.unwrap(), Swap::Done(_)));

        let shop = Shop::new("v2");
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
        for _ in 0..20 {
            second(&shop, 10).await;
            assert_eq!(shop.canary.weight(), Weight::ZERO);
        }
        let error = rollout.status().load_error.clone().unwrap();
        assert!(error.contains(expected), "{error}");
        rollout.command(order(Command::RollBack)).await.unwrap();
        let found = store.inner().load(&rollout_key()).await.unwrap().unwrap();
        assert_eq!(found.document, edited, "the document is left for an operator");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stored_rollout_with_numbers_at_their_limits_can_be_rolled_back() {
    for field in ["/generation", "/attempt", "/history/count"] {
        let (store, shop) = (test_store(), Shop::new("v2"));
        let first = controller(store.clone());
        let rollout = first.add(managed(&shop, PLAN)).unwrap();
        running(&shop, &rollout).await;
        first.stop().await;
        let (rollout, _) = stored(&store).await.unwrap();
        let mut edited = serde_json::to_value(&rollout).unwrap();
        *edited.pointer_mut(field).unwrap() = serde_json::json!(u64::MAX);
        store_as_replica(&store, &serde_json::from_value(edited).unwrap()).await;

        let shop = Shop::new("v2");
        let controller = controller(store.clone());
        let rollout = controller.add(managed(&shop, PLAN)).unwrap();
        until(&shop, &rollout, Phase::Running, 0).await;
        rollout.command(order(Command::RollBack)).await.unwrap();
        second(&shop, 10).await;
        assert_eq!(shop.canary.weight(), Weight::ZERO, "{field}");
        assert_eq!(stored_phase(&store).await, Phase::RolledBack, "{field}");
    }
}

/// The evidence is largest after ten steps or more.
#[tokio::test(start_paused = true)]
async fn the_evidence_of_a_long_plan_with_all_monitors_fits_the_store() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let steps: Vec<_> = (1..=10)
        .map(|step| {
            format!("{{ weight = \"{}%\", min_duration = \"30s\", min_calls = 1 }}", 5 * step)
        })
        .collect();
    let plan = format!(
        r#"
        steps = [{}]
        on_inconclusive = "advance"
        monitors = [
            {{ measure = "failures" }}, {{ measure = "cancelled" }}, {{ measure = "share", role = "watches" }},
            {{ measure = {{ slower_than = {{ limit = "250ms" }} }} }},
            {{ measure = {{ slower_than_stable = {{ quantile = 0.95 }} }} }},
        ]
        "#,
        steps.join(",")
    );
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, &plan)).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    for _ in 0..600 {
        second(&shop, 200).await;
    }
    let key = StoreKey::try_new("default", &"shop".parse().unwrap()).unwrap().evidence();
    let len = store.inner().load(&key).await.unwrap().unwrap().document.as_bytes().len();
    println!("evidence of {len} bytes");
    assert!(shop.canary.weight() >= Weight::from_percent(50), "{}", rollout.status().summary);
    assert!(len < Document::MAX_LEN * 3 / 4, "{len} bytes");
}
