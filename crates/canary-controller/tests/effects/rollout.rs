//! A driver loop around the state machine, with real probes, gates and notifications.

use std::time::Duration;

use canary_controller::{
    gate::{Confirm, GateQuestion, GateRunner},
    notify::{Notification, Notifier},
    probe::{ProbeRunner, ProbeTarget},
};
use canary_core::Verdict;
use canary_rollout::{
    Action, Actor, Command, Order, Phase, Plan, Rollout, Tick, Timestamp, Transition,
};

use crate::{
    fixtures::releases,
    support::{client, soon},
    webhook_server::{WebhookServer, reply},
};

#[tokio::test]
async fn a_rollout_runs_gates_and_notifications_until_a_failed_probe_rolls_it_back() {
    let gate =
        WebhookServer::start(|number| async move { reply([202, 200][number.min(1)], "") }).await;
    let mut receiver = WebhookServer::of_status(200).await;
    let plan = format!(
        r#"
        start = {{ gates = ["deploys"], probes = ["health"] }}
        steps = [{{ weight = "1%", probes = ["broken"] }}]
        gates.deploys = {{ kind.webhook.url = "{}", every = "1s" }}
        probes.health.kind.http.path = "/health"
        probes.broken = {{ kind.http.path = "/broken", failure_threshold = 1 }}
        notify.ops.webhook.url = "{}"
        "#,
        gate.url, receiver.url,
    );
    let v2 = axum::Router::new().route("/health", axum::routing::get(async || "fine"));
    let probes = ProbeRunner::new().target(ProbeTarget::router(v2));
    let (gates, notifier) = (GateRunner::new(client()), Notifier::new(client()));
    let plan = Plan::from_toml(&plan).unwrap();
    probes.check_plan(&plan).and(gates.check_plan(&plan)).unwrap();
    let mut rollout = Rollout::new("checkout".parse().unwrap(), releases(), plan);
    notifier.register(rollout.name(), rollout.plan()).unwrap();

    let mut now: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
    let order = Order::new(Command::Start, Actor::person("anna"), "v2 is built");
    let mut outcome = rollout.command(now, &order).unwrap();
    let mut questions = Vec::new();
    while rollout.phase() != Phase::RolledBack {
        let mut tick = Tick::new(Verdict::Inconclusive, "");
        for action in std::mem::take::<Transition>(&mut outcome).actions {
            match action {
                Action::RunProbe(name) => {
                    let probe = &rollout.plan().probes()[&name];
                    tick = tick.with_probe(name.clone(), soon(probes.run(probe)).await);
                }
                Action::AskGate(name) => {
                    let question = GateQuestion::for_gate(&rollout, &name, now).unwrap();
                    let asked = gates.ask(&rollout.plan().gates()[&name], &question);
                    tick = tick.with_answer(name.clone(), soon(asked).await);
                    questions.push(question);
                }
                Action::Notify { to, event } => {
                    notifier.notify(&to, Notification::new(&rollout, event));
                }
                _ => {}
            }
        }
        now = now + Duration::from_secs(1);
        outcome = rollout.tick(now, &tick);
    }
    for action in outcome.actions {
        if let Action::Notify { to, event } = action {
            notifier.notify(&to, Notification::new(&rollout, event));
        }
    }
    assert_eq!(soon(notifier.shutdown(Duration::from_secs(50))).await, 0);

    assert_eq!(questions.len(), 2);
    assert_eq!(questions[0].id, questions[1].id);
    assert_eq!(
        questions[0].deadline.unwrap().to_string(),
        questions[1].deadline.unwrap().to_string()
    );
    assert_eq!((questions[0].confirm, questions[0].phase), (Confirm::Start, Phase::Starting));
    let mut events = Vec::new();
    while events.last().is_none_or(|last| last != "rolled_back") {
        events.push(receiver.next().await.json()["event"]["kind"].as_str().unwrap().to_owned());
    }
    let expected =
        ["started", "gate_asked", "gate_opened", "step_begun", "probe_failed", "rolled_back"];
    assert_eq!(events, expected);
}
