//! Example rollouts and events.

use canary_controller::notify::Notification;
use canary_rollout::{Plan, Releases, Rollout, event::Event};
use serde_json::{Value, json};

pub(crate) const PLAN: &str = r#"
    start.gates = ["schema"]
    steps = [{ weight = "1%" }, { weight = "10%", gates = ["deploys"] }]
    promote.gates = ["managers"]
    bake = { duration = "1h", holdback = "2%" }
    gates.schema.kind = { function = "is-migrated" }
    gates.deploys = { kind = { webhook = { url = "https://deploys.example/canary" } }, deadline = "4h" }
    gates.managers.kind = { approval = "release managers" }
"#;

pub(crate) fn releases() -> Releases {
    Releases { stable: "v1".parse().unwrap(), canary: "v2".parse().unwrap() }
}

/// Returns a rollout of [`PLAN`] with these stored fields.
pub(crate) fn rollout(changes: Value) -> Rollout {
    let plan = Plan::from_toml(PLAN).unwrap();
    let rollout = Rollout::new("checkout".parse().unwrap(), releases(), plan);
    let mut stored = serde_json::to_value(rollout).unwrap();
    stored.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(stored).unwrap()
}

/// Returns a rollout in its first step, with a gate that was asked an hour ago.
pub(crate) fn raising() -> Rollout {
    let asked = json!({ "since": "2026-11-24T08:00:00Z", "waited": "50m", "since_ask": "0s" });
    rollout(json!({
        "attempt": 3,
        "state": {
            "phase": "running",
            "step": 0,
            "progress": { "gates": { "deploys": { "asked": asked } } },
        },
        "weight": "1%",
        "verdict": "inconclusive",
        "evidence": "canary fails 0.2% of 1,204 calls, stable 0.1% of 119,310",
    }))
}

/// Returns a rollback by the judge, with these fields changed.
pub(crate) fn event(changes: Value) -> Event {
    let mut event = json!({
        "number": 17,
        "at": "2026-11-24T09:00:00Z",
        "by": "judge",
        "kind": "rolled_back",
        "reason": "failures of the canary are above the margin",
        "verdict": "degraded",
        "evidence": "canary fails 5.1% of 1,204 calls, stable 0.1% of 119,310",
        "phase": "rolled_back",
        "weight": "0%",
    });
    event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(event).unwrap()
}

pub(crate) fn notification(number: u64) -> Notification {
    Notification::new(&rollout(json!({})), event(json!({ "number": number })))
}
