//! The evidence of the largest plan, in the store.

use canary_controller::store::StateStore;
use canary_rollout::Command;

use crate::support::{
    Shop, controller, logged, managed, order, second,
    stored::{rollout_key, test_store},
};

/// The most steps and the most monitors.
fn largest_plan() -> String {
    let steps: Vec<_> = (1..=100)
        .map(|step| 9_731 * step)
        .map(|ppm| {
            format!("{{ weight = '{}.{:04}%', min_duration = '1h' }}", ppm / 10_000, ppm % 10_000)
        })
        .collect();
    let limits: Vec<_> = (0..12)
        .map(|limit| {
            format!(
                "{{ measure = {{ slower_than = {{ limit = '{}ms' }} }}, role = 'watches' }}",
                5 << limit
            )
        })
        .collect();
    format!(
        "bake = {{ duration = '1h' }}
        steps = [{}]
        monitors = [{{ measure = 'failures' }}, {{ measure = 'cancelled' }}, {{ measure = 'unanswered' }}, \
        {{ measure = 'share', role = 'watches' }}, {}]",
        steps.join(","),
        limits.join(","),
    )
}

#[tokio::test(start_paused = true)]
async fn the_evidence_of_the_largest_plan_is_stored_at_each_step() {
    let (_guard, warnings) = logged(tracing::Level::WARN);
    let store = test_store();
    let shop = Shop::new("v2");
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, &largest_plan())).unwrap();
    second(&shop, 0).await;
    rollout.command(order(Command::Start)).await.unwrap();
    let (mut steps, mut saves) = (1, 0);
    loop {
        second(&shop, 20).await;
        if steps % 10 == 0 {
            for _ in 0..3 {
                second(&shop, 20).await;
            }
            let stored = store.inner().load(&rollout_key().evidence()).await.unwrap().unwrap();
            let len = stored.document.as_str().len();
            assert!(len < 64 * 1024, "{len} bytes at step {steps}");
            let evidence: serde_json::Value =
                serde_json::from_str(stored.document.as_str()).unwrap();
            let beat = evidence["beat"].as_u64().unwrap();
            assert!(beat > saves, "{beat} saves at step {steps}");
            saves = beat;
        }
        if rollout.command(order(Command::SkipStep)).await.is_err() {
            break;
        }
        steps += 1;
    }
    assert_eq!(steps, 100);
    assert!(warnings.lock().unwrap().is_empty(), "{:?}", warnings.lock().unwrap());
    // Each begin of a step has its findings, although the state of the judge may not fit beside them.
    for event in rollout.history(1_000).await.unwrap().iter().skip(2).step_by(10) {
        let decision = rollout.decision(&event.id()).await.unwrap().unwrap();
        assert_eq!(decision.judgment["findings"].as_array().unwrap().len(), 16, "{event}");
    }
    // A process that restarts goes on with this evidence.
    let judged = rollout.status().judgment.findings[0].calls;
    controller.stop().await;
    let shop = Shop::new("v2");
    let controller = crate::support::controller(store);
    let rollout = controller.add(managed(&shop, &largest_plan())).unwrap();
    second(&shop, 0).await;
    assert_eq!(rollout.status().judgment.findings[0].calls, judged);
}
